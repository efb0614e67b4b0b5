// SPDX-License-Identifier: GPL-2.0-only
/*
 * unix_diag: one request over netlink lists all unix sockets of the network namespace that the
 * asking socket is in, with what nothing else tells: the peer's inode, which directions are shut,
 * the raw name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "kernel/unix-diag.h"
#include "util/alloc.h"

static int add_socket(struct nl_msg *msg, void *arg)
{
	struct unix_diag_msg *head = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *attrs[UNIX_DIAG_MAX + 1];
	struct unix_list *list = arg;
	struct unix_facts *f;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*head), attrs, UNIX_DIAG_MAX, NULL) < 0)
		return NL_SKIP;
	list->items = array_grow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	f = &list->items[list->n++];
	*f = (struct unix_facts){
		.ino = head->udiag_ino, .type = head->udiag_type, .state = head->udiag_state};
	if (attrs[UNIX_DIAG_PEER])
		f->peer = nla_get_u32(attrs[UNIX_DIAG_PEER]);
	if (attrs[UNIX_DIAG_SHUTDOWN])
		f->shutdown = nla_get_u8(attrs[UNIX_DIAG_SHUTDOWN]);
	if (attrs[UNIX_DIAG_RQLEN] &&
	    nla_len(attrs[UNIX_DIAG_RQLEN]) >= (int)sizeof(struct unix_diag_rqlen)) {
		const struct unix_diag_rqlen *q = nla_data(attrs[UNIX_DIAG_RQLEN]);

		f->rqueue = q->udiag_rqueue;
		f->wqueue = q->udiag_wqueue;
	}
	if (attrs[UNIX_DIAG_NAME]) {
		f->name_length = nla_len(attrs[UNIX_DIAG_NAME]);
		f->name = xmemdup(nla_data(attrs[UNIX_DIAG_NAME]), f->name_length);
	}
	return NL_OK;
}

static int compare(const void *a, const void *b)
{
	const struct unix_facts *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int request(struct nl_sock *socket, struct unix_list *list)
{
	struct unix_diag_req req = {
		.sdiag_family = AF_UNIX,
		.udiag_states = ~0u,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN,
	};
	int err = nl_connect(socket, NETLINK_SOCK_DIAG);

	if (err < 0)
		return err;
	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, add_socket, list);
	err = nl_send_simple(socket, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &req, sizeof(req));
	return err < 0 ? err : nl_recvmsgs_default(socket);
}

int unix_diag_read(struct unix_list *ret)
{
	struct nl_sock *socket = nl_socket_alloc();
	int err;

	*ret = (struct unix_list){};
	if (!socket)
		return -ENOMEM;
	err = request(socket, ret);
	nl_socket_free(socket);
	if (err < 0) {
		unix_list_release(ret);
		/* The kernel's answer where nothing lists such sockets. */
		if (err == -NLE_OBJ_NOTFOUND)
			return -ENOENT;
		return err == -NLE_NOMEM ? -ENOMEM : err == -NLE_PERM ? -EPERM : -EIO;
	}
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare);
	return 0;
}

void unix_list_release(struct unix_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
	*list = (struct unix_list){};
}

const struct unix_facts *unix_list_find(const struct unix_list *list, uint32_t ino)
{
	struct unix_facts key = {.ino = ino};

	return list->n ? bsearch(&key, list->items, list->n, sizeof(key), compare) : NULL;
}
