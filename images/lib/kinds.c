// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of kinds, and what follows from a line of it: names of files, and how many bytes of
 * payload an entry announces.
 */
#include "images/lib/image.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "images/all.pb-c.h"

/* "none" in the table: a weak symbol that nobody defines, so that its address is NULL. */
extern const ProtobufCMessageDescriptor none__descriptor __attribute__((weak));

static const struct image_info infos[IMAGE_KINDS] = {
#define IMAGE(id_, pattern_, magic_, tag_, framing_, count_, entry_, rest_, payload_) \
	[IMAGE_##id_] = {                                                             \
		.id = #id_,                                                           \
		.pattern = pattern_,                                                  \
		.magic = magic_,                                                      \
		.tag = tag_,                                                          \
		.framing = IMAGE_FRAMING_##framing_,                                  \
		.count = IMAGE_COUNT_##count_,                                        \
		.entry = &entry_##__descriptor,                                       \
		.rest = &rest_##__descriptor,                                         \
		.payload = payload_,                                                  \
	},
#include "images/images.def"
};

const struct image_info *image_info(enum image_kind kind)
{
	return (unsigned int)kind < IMAGE_KINDS ? &infos[kind] : NULL;
}

int image_name(enum image_kind kind, uint64_t number, char ret_name[IMAGE_NAME_MAX])
{
	const struct image_info *info = image_info(kind);
	const char *percent, *rest;
	int length;

	if (!info)
		return -EINVAL;
	percent = strchr(info->pattern, '%');
	if (!percent) {
		snprintf(ret_name, IMAGE_NAME_MAX, "%s", info->pattern);
		return 0;
	}
	rest = percent + 2;
	/* Kinds with two numbers are recognised, but never made here. */
	if (strchr(rest, '%'))
		return -EINVAL;
	length = (int)(percent - info->pattern);
	if (percent[1] == 'x')
		snprintf(ret_name, IMAGE_NAME_MAX, "%.*s%" PRIx64 "%s", length, info->pattern,
			 number, rest);
	else
		snprintf(ret_name, IMAGE_NAME_MAX, "%.*s%" PRIu64 "%s", length, info->pattern,
			 number, rest);
	return 0;
}

/* Does name follow pattern? The first number is returned. */
static bool name_matches(const char *name, const char *pattern, uint64_t *ret_number)
{
	uint64_t number = 0;
	bool is_first = true;

	while (*pattern) {
		uint64_t value = 0, base = 10;
		const char *digits = name;

		if (*pattern != '%') {
			if (*pattern++ != *name++)
				return false;
			continue;
		}
		if (pattern[1] == 'x')
			base = 16;
		pattern += 2;
		for (;
		     isdigit((unsigned char)*name) || (base == 16 && *name >= 'a' && *name <= 'f');
		     name++) {
			uint64_t digit = isdigit((unsigned char)*name) ? *name - '0'
								       : *name - 'a' + 10;

			if (value > (UINT64_MAX - digit) / base)
				return false;
			value = value * base + digit;
		}
		if (name == digits)
			return false;
		if (is_first)
			number = value;
		is_first = false;
	}
	if (*name)
		return false;
	*ret_number = number;
	return true;
}

int image_kind_of(const char *name, uint64_t *ret_number)
{
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		if (name_matches(name, infos[kind].pattern, ret_number))
			return kind;
	return -ENOENT;
}

/* Value of an unsigned or boolean field; 0 where it is absent. */
static int field_value(const ProtobufCMessage *message, const char *name, size_t length,
		       uint64_t *ret_value)
{
	char buffer[32];
	const ProtobufCFieldDescriptor *field;
	const uint8_t *base = (const uint8_t *)message;

	if (length >= sizeof(buffer))
		return -EINVAL;
	memcpy(buffer, name, length);
	buffer[length] = '\0';
	field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, buffer);
	if (!field)
		return -EINVAL;

	*ret_value = 0;
	if (field->label == PROTOBUF_C_LABEL_OPTIONAL &&
	    !*(const protobuf_c_boolean *)(base + field->quantifier_offset))
		return 0;
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32:
		*ret_value = *(const uint32_t *)(base + field->offset);
		return 0;
	case PROTOBUF_C_TYPE_UINT64:
		*ret_value = *(const uint64_t *)(base + field->offset);
		return 0;
	case PROTOBUF_C_TYPE_BOOL:
		*ret_value = *(const protobuf_c_boolean *)(base + field->offset);
		return 0;
	default:
		return -EINVAL;
	}
}

/* Evaluates "a+b*2|8". */
static int rule_value(const char *rule, const ProtobufCMessage *message, uint64_t *ret_length,
		      uint64_t *ret_padding)
{
	uint64_t length = 0, unit = 1;
	const char *at = rule;

	while (*at) {
		size_t name = strcspn(at, "+*|");
		uint64_t value;
		int err = field_value(message, at, name, &value);

		if (err < 0)
			return err;
		at += name;
		if (*at == '*') {
			value *= (uint64_t)(at[1] - '0');
			at += 2;
		}
		if (__builtin_add_overflow(length, value, &length))
			return -EBADMSG;
		if (*at == '|') {
			unit = (uint64_t)(at[1] - '0');
			break;
		}
		if (*at == '+')
			at++;
	}
	if (length > INT64_MAX)
		return -EBADMSG;
	*ret_length = length;
	*ret_padding = (unit - length % unit) % unit;
	return 0;
}

/* Entries of kinds that have a payload, but not behind this one. */
static bool payload_is_elsewhere(enum image_kind kind, const ProtobufCMessage *message)
{
	uint64_t in_pagemaps;

	/* Messages are entries of their own, and theirs is the payload. */
	if (kind == IMAGE_IPCNS_MSG)
		return message->descriptor == image_info(kind)->entry;
	/* Contents are in pages-N.img; only older releases put them here. */
	return kind == IMAGE_IPCNS_SHM &&
	       field_value(message, "in_pagemaps", 11, &in_pagemaps) == 0 && in_pagemaps;
}

int image_payload_length(enum image_kind kind, const ProtobufCMessage *message,
			 uint64_t *ret_length, uint64_t *ret_padding)
{
	const struct image_info *info = image_info(kind);
	uint64_t length = 0, padding = 0;
	int err = 0;

	if (!info || (message->descriptor != info->entry && message->descriptor != info->rest))
		return -EINVAL;
	if (strcmp(info->payload, "rest") == 0) {
		const GhostFileEntry *ghost = (const GhostFileEntry *)message;

		if (message->descriptor == info->rest)
			length = ((const GhostChunkEntry *)message)->len;
		else if (!ghost->has_chunks || !ghost->chunks)
			length = IMAGE_TO_EOF;
	} else if (!payload_is_elsewhere(kind, message)) {
		err = rule_value(info->payload, message, &length, &padding);
	}
	if (err < 0)
		return err;
	*ret_length = length;
	*ret_padding = padding;
	return 0;
}
