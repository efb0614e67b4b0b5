// SPDX-License-Identifier: GPL-2.0-only
/* Probes of what is about sockets and netlink. Netlink requests here are one message and one
 * answer. */
#include "kernel/probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/inet_diag.h>
#include <linux/net_namespace.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>

#include "compel/base/cleanup.h"
#include "util/alloc.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif
#define NEW_IFINDEX 49 /* IFLA_NEW_IFINDEX */

static int new_socket(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : fd;
}

static int option_is_known(int family, int level, int option)
{
	_cleanup_close_ int fd = new_socket(family, SOCK_STREAM, 0);
	int value;
	socklen_t size = sizeof(value);

	if (fd < 0)
		return probe_answer(fd);
	return probe_errno(getsockopt(fd, level, option, &value, &size));
}

int probe_sockopt_buf_lock(void)
{
	return option_is_known(AF_INET, SOL_SOCKET, SO_BUF_LOCK);
}

int probe_ipv6_freebind(void)
{
	return option_is_known(AF_INET6, IPPROTO_IPV6, IPV6_FREEBIND);
}

int probe_sk_ns(void)
{
	_cleanup_close_ int fd = new_socket(AF_UNIX, SOCK_STREAM, 0), ns = -1;

	if (fd < 0)
		return probe_answer(fd);
	ns = ioctl(fd, SIOCGSKNS);
	return probe_errno(ns);
}

/* A socket that is not bound has no file: a kernel that knows the question says ENOENT. */
int probe_sk_unix_file(void)
{
	_cleanup_close_ int fd = new_socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return probe_answer(fd);
	return ioctl(fd, SIOCUNIXFILE) < 0 && errno == ENOENT ? 1 : probe_errno(-1);
}

/* ---- TCP ---- */

static int set_repair(int fd, int value)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Two sockets connected over loopback: *ret_fd is ours to close, so is the one returned. */
static int connected_pair(int *ret_fd)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_close_ int listener = new_socket(AF_INET, SOCK_STREAM, 0),
			    fd = new_socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(at);
	int accepted;

	if (listener < 0 || fd < 0)
		return -EAFNOSUPPORT;
	if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &size) < 0 ||
	    connect(fd, (struct sockaddr *)&at, size) < 0)
		return -errno;
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (accepted < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return accepted;
}

int probe_tcp_half_closed(void)
{
	_cleanup_close_ int fresh = new_socket(AF_INET, SOCK_STREAM, 0), one = -1, other = -1;
	int err = fresh < 0 ? fresh : set_repair(fresh, 1);

	/* Not allowed even for a socket without a connection: nothing about half-closed ones. */
	if (err < 0)
		return probe_answer(err);
	other = connected_pair(&one);
	if (other < 0)
		return other;
	if (shutdown(one, SHUT_WR) < 0)
		return -errno;
	err = set_repair(one, 1);
	if (err == -EPERM)
		return 0;
	if (err == 0)
		set_repair(one, 0);
	return probe_answer(err);
}

/* ---- netlink ---- */

/* Sends the request; 0 or -errno as the first message that comes back says, its type in *ret_type.
 */
static int ask(int protocol, struct nlmsghdr *request, uint16_t *ret_type)
{
	_cleanup_close_ int fd = new_socket(AF_NETLINK, SOCK_RAW, protocol);
	_cleanup_free_ char *answer = xmalloc(32768);
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	ssize_t n;

	if (fd < 0)
		return fd;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, answer, 32768, 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(head, (size_t)n))
		return -EBADMSG;
	*ret_type = head->nlmsg_type;
	if (head->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = NLMSG_DATA(head);

		return head->nlmsg_len < NLMSG_LENGTH(sizeof(*error)) ? -EBADMSG : error->error;
	}
	return 0;
}

int probe_net_diag_raw(void)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} message = {
		.head = {.nlmsg_len = sizeof(message),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = AF_INET,
			    .sdiag_protocol = IPPROTO_RAW,
			    .idiag_states = ~0U},
	};
	uint16_t type;

	return probe_answer(ask(NETLINK_SOCK_DIAG, &message.head, &type));
}

int probe_nsid(void)
{
	_cleanup_close_ int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct {
		struct nlmsghdr head;
		struct rtgenmsg general;
		char pad[3];
		struct nlattr attribute;
		int32_t fd;
	} message = {
		.head = {.nlmsg_len = sizeof(message),
			 .nlmsg_type = RTM_GETNSID,
			 .nlmsg_flags = NLM_F_REQUEST},
		.attribute = {.nla_len = NLA_HDRLEN + sizeof(int32_t), .nla_type = NETNSA_FD},
		.fd = ns,
	};
	uint16_t type;

	if (ns < 0)
		return probe_errno(ns);
	return probe_answer(ask(NETLINK_ROUTE, &message.head, &type));
}

/* IFLA_LINK_NETNSID came with the same kernel, and links that have one cannot be had without making
 * some. */
int probe_link_nsid(void)
{
	return probe_nsid();
}

/* An index of -1 for the loopback link: out of range for a kernel that knows the attribute, nothing
 * to do for others. */
int probe_newifindex(void)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
		struct nlattr attribute;
		int32_t index;
	} message = {
		.head = {.nlmsg_len = sizeof(message),
			 .nlmsg_type = RTM_SETLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_index = 1},
		.attribute = {.nla_len = NLA_HDRLEN + sizeof(int32_t), .nla_type = NEW_IFINDEX},
		.index = -1,
	};
	uint16_t type;
	int err = ask(NETLINK_ROUTE, &message.head, &type);

	if (err == -ERANGE)
		return 1;
	return err == 0 ? 0 : probe_answer(err);
}

int probe_nftables(void)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg general;
	} message = {
		.head = {.nlmsg_len = sizeof(message),
			 .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
			 .nlmsg_flags = NLM_F_REQUEST},
		.general = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
	};
	uint16_t type;

	return probe_answer(ask(NETLINK_NETFILTER, &message.head, &type));
}

/* PATH, and where administration programs lie that it may lack. */
int probe_ipt_legacy(void)
{
	const char *path = getenv("PATH");
	_cleanup_free_ char *folders = xasprintf("%s:/usr/sbin:/sbin", path ? path : "");
	char *rest = folders, *folder;

	while ((folder = strsep(&rest, ":"))) {
		_cleanup_free_ char *program = xasprintf("%s/iptables-legacy-save", folder);

		if (*folder && access(program, X_OK) == 0)
			return 1;
	}
	return 0;
}
