// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks over a packed message before protobuf-c unpacks it. protobuf-c only says that something is
 * wrong; here the field is named. It also recurses as deep as the bytes tell it to, so the depth is
 * limited here. What passes is what protobuf-c takes: unknown fields are skipped, repeated numbers
 * may be packed or not, enumerators may be unknown, a required field with a default may be absent.
 */
#include "images/lib/image-priv.h"

#include <errno.h>
#include <string.h>

#include "compel/base/bits.h"

/* The format's own recursion (cgroup directories, AppArmor namespaces) stays far below. */
#define DEPTH_MAX  128
#define FIELDS_MAX 256

enum { WIRE_VARINT, WIRE_64BIT, WIRE_PREFIXED, WIRE_GROUP, WIRE_GROUP_END, WIRE_32BIT };

struct cursor {
	const uint8_t *start, *at, *end;
	/* Of start within the outermost message. */
	uint64_t base;
	unsigned int depth;
	struct message_fault *fault;
};

static int fault(const struct cursor *c, const uint8_t *where, const char *reason)
{
	c->fault->offset = c->base + (uint64_t)(where - c->start);
	c->fault->reason = reason;
	return -EBADMSG;
}

/* Puts the name of a field before the path that the fault has so far; outer ones that find no room
 * are left out. */
static int fault_within(const struct cursor *c, const char *name)
{
	char *path = c->fault->field;
	size_t length = strlen(name), used = strlen(path);
	size_t gap = used ? length + 1 : length;

	if (gap + used >= sizeof(c->fault->field))
		return -EBADMSG;
	memmove(path + gap, path, used + 1);
	memcpy(path, name, length);
	if (used)
		path[length] = '.';
	return -EBADMSG;
}

static int read_varint(struct cursor *c, uint64_t *ret_value)
{
	uint64_t value = 0;
	const uint8_t *first = c->at;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		if (c->at == c->end)
			return fault(c, first, "ends within a number");
		if (shift < 64)
			value |= (uint64_t)(*c->at & 0x7f) << shift;
		if (!(*c->at++ & 0x80)) {
			*ret_value = value;
			return 0;
		}
	}
	return fault(c, first, "has a number of more than 64 bits");
}

static unsigned int wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_32BIT;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_64BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_PREFIXED;
	default:
		return WIRE_VARINT;
	}
}

/* Passes over a value; of a prefixed one, *ret_value is the length, and the cursor is behind it. */
static int read_value(struct cursor *c, unsigned int wire, uint64_t *ret_value)
{
	size_t left;
	int err = 0;

	*ret_value = 0;
	switch (wire) {
	case WIRE_VARINT:
		return read_varint(c, ret_value);
	case WIRE_64BIT:
		*ret_value = 8;
		break;
	case WIRE_32BIT:
		*ret_value = 4;
		break;
	case WIRE_PREFIXED:
		err = read_varint(c, ret_value);
		break;
	default:
		return fault(c, c->at, "has an unknown encoding");
	}
	if (err < 0)
		return err;
	left = (size_t)(c->end - c->at);
	if (*ret_value > left)
		return fault(c, c->at, "is longer than the message it is in");
	c->at += *ret_value;
	return 0;
}

/* Numbers that were packed into one value: length bytes before the cursor. */
static int check_packed(struct cursor *c, const ProtobufCFieldDescriptor *field, uint64_t length)
{
	struct cursor inner = *c;
	unsigned int wire = wire_of(field->type);
	uint64_t value;

	inner.end = c->at;
	inner.at = c->at - length;
	if (wire == WIRE_64BIT || wire == WIRE_32BIT)
		return length % (wire == WIRE_64BIT ? 8 : 4)
			       ? fault(c, inner.at, "is not a whole number of elements")
			       : 0;
	while (inner.at < inner.end)
		if (read_varint(&inner, &value) < 0)
			return -EBADMSG;
	return 0;
}

static int check_message(struct cursor *c, const ProtobufCMessageDescriptor *type);

static int check_field(struct cursor *c, const ProtobufCFieldDescriptor *field, unsigned int wire,
		       const uint8_t *where)
{
	uint64_t value;
	struct cursor inner;

	if (wire != wire_of(field->type) &&
	    !(wire == WIRE_PREFIXED && field->label == PROTOBUF_C_LABEL_REPEATED))
		return fault(c, where, "has the encoding of another type");
	if (read_value(c, wire, &value) < 0)
		return -EBADMSG;
	if (wire != WIRE_PREFIXED)
		return 0;
	if (wire != wire_of(field->type))
		return check_packed(c, field, value);
	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	inner = (struct cursor){
		.start = c->at - value,
		.at = c->at - value,
		.end = c->at,
		.base = c->base + (uint64_t)(c->at - c->start) - value,
		.depth = c->depth + 1,
		.fault = c->fault,
	};
	return check_message(&inner, field->descriptor);
}

static int check_message(struct cursor *c, const ProtobufCMessageDescriptor *type)
{
	uint64_t seen[FIELDS_MAX / 64] = {0};

	if (c->depth > DEPTH_MAX)
		return fault(c, c->at, "is nested too deeply");
	if (type->n_fields > FIELDS_MAX)
		return fault(c, c->at, "has too many fields");

	while (c->at < c->end) {
		const uint8_t *where = c->at;
		const ProtobufCFieldDescriptor *field;
		uint64_t tag, value;

		if (read_varint(c, &tag) < 0)
			return -EBADMSG;
		if (tag >> 32 || tag >> 3 == 0)
			return fault(c, where, "has an impossible field number");
		field = protobuf_c_message_descriptor_get_field(type, (unsigned int)(tag >> 3));
		if (!field) {
			if (read_value(c, tag & 7, &value) < 0)
				return -EBADMSG;
			continue;
		}
		if (check_field(c, field, tag & 7, where) < 0)
			return fault_within(c, field->name);
		seen[(field - type->fields) / 64] |= 1ull << (field - type->fields) % 64;
	}
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		if (field->label != PROTOBUF_C_LABEL_REQUIRED || field->default_value ||
		    seen[i / 64] & 1ull << i % 64)
			continue;
		fault(c, c->at, "is missing");
		return fault_within(c, field->name);
	}
	return 0;
}

int message_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t length,
		  struct message_fault *ret_fault)
{
	struct cursor c = {.start = data, .at = data, .end = data + length, .fault = ret_fault};

	ret_fault->field[0] = '\0';
	return check_message(&c, type);
}

static int check_unpacked(const ProtobufCMessage *message, struct cursor *c);

static int check_unpacked_member(const ProtobufCFieldDescriptor *field, const void *member,
				 struct cursor *c)
{
	const void *pointer = *(const void *const *)member;

	if (!pointer) {
		if (field->label == PROTOBUF_C_LABEL_OPTIONAL || field->default_value)
			return 0;
		c->fault->reason = "is not set";
	} else if (field->type != PROTOBUF_C_TYPE_MESSAGE || check_unpacked(pointer, c) == 0) {
		return 0;
	}
	return fault_within(c, field->name);
}

static int check_unpacked(const ProtobufCMessage *message, struct cursor *c)
{
	const uint8_t *base = (const uint8_t *)message;

	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const uint8_t *member = base + field->offset;
		size_t n = 1;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			n = *(const size_t *)(base + field->quantifier_offset);
			member = *(const uint8_t *const *)member;
		}
		for (; n; n--, member += sizeof(void *))
			if (check_unpacked_member(field, member, c) < 0)
				return -EINVAL;
	}
	return 0;
}

int message_check_unpacked(const ProtobufCMessage *message, struct message_fault *ret_fault)
{
	struct cursor c = {.fault = ret_fault};

	ret_fault->field[0] = '\0';
	ret_fault->offset = 0;
	return check_unpacked(message, &c);
}
