// SPDX-License-Identifier: GPL-2.0-only
/*
 * cpuinfo.img of an x86 CPU: vendor, family, model and stepping, the words of CPUID in the order in
 * which the kernel keeps them (words that the kernel makes up itself are 0), and which components
 * the kernel saves of the extended state, with their size. --cpu-cap says what is compared: "fpu"
 * whether the extended state fits, "ins" whether there are all instructions that programs could
 * have found, "cpu" whether it is the same CPU. Which of them a program really uses nobody knows.
 */
#include "arch/cpuinfo.h"

#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compel/base/bits.h"
#include "cr.h"
#include "images/cpuinfo.pb-c.h"
#include "images/lib/image.h"
#include "options.h"
#include "state/message.h"
#include "util/log.h"

#define CAPABILITY_VERSION 2
#define N_WORDS            19
#define OSXSAVE            (1u << 27)

enum cpuid_register { NO_REGISTER, EAX, EBX, ECX, EDX };

static const struct {
	uint32_t leaf;
	enum cpuid_register reg;
	uint32_t subleaf;
} words[N_WORDS] = {
	[0] = {0x1, EDX, 0},         [1] = {0x80000001, EDX, 0},  [2] = {0x80860001, EDX, 0},
	[4] = {0x1, ECX, 0},         [5] = {0xc0000001, EDX, 0},  [6] = {0x80000001, ECX, 0},
	[9] = {0x7, EBX, 0},         [10] = {0xd, EAX, 1},        [12] = {0x7, EAX, 1},
	[13] = {0x80000008, EBX, 0}, [14] = {0x6, EAX, 0},        [15] = {0x8000000a, EDX, 0},
	[16] = {0x7, ECX, 0},        [17] = {0x80000007, EBX, 0}, [18] = {0x7, EDX, 0},
};

/* What programs can use, by word and bit. */
static const struct {
	uint8_t word, bit;
	uint8_t cap;
	const char *name;
} features[] = {
	{0, 0, CPU_CAP_FPU, "fpu"},
	{0, 24, CPU_CAP_FPU, "fxsr"},
	{4, 27, CPU_CAP_FPU, "osxsave"},
	{10, 3, CPU_CAP_FPU, "xsaves"},
	{0, 4, CPU_CAP_INS, "tsc"},
	{0, 8, CPU_CAP_INS, "cx8"},
	{0, 11, CPU_CAP_INS, "sep"},
	{0, 15, CPU_CAP_INS, "cmov"},
	{0, 19, CPU_CAP_INS, "clflush"},
	{0, 23, CPU_CAP_INS, "mmx"},
	{0, 25, CPU_CAP_INS, "sse"},
	{0, 26, CPU_CAP_INS, "sse2"},
	{1, 11, CPU_CAP_INS, "syscall"},
	{1, 22, CPU_CAP_INS, "mmxext"},
	{1, 27, CPU_CAP_INS, "rdtscp"},
	{1, 30, CPU_CAP_INS, "3dnowext"},
	{1, 31, CPU_CAP_INS, "3dnow"},
	{4, 0, CPU_CAP_INS, "sse3"},
	{4, 1, CPU_CAP_INS, "pclmulqdq"},
	{4, 9, CPU_CAP_INS, "ssse3"},
	{4, 12, CPU_CAP_INS, "fma"},
	{4, 13, CPU_CAP_INS, "cx16"},
	{4, 19, CPU_CAP_INS, "sse4_1"},
	{4, 20, CPU_CAP_INS, "sse4_2"},
	{4, 22, CPU_CAP_INS, "movbe"},
	{4, 23, CPU_CAP_INS, "popcnt"},
	{4, 25, CPU_CAP_INS, "aes"},
	{4, 26, CPU_CAP_INS, "xsave"},
	{4, 28, CPU_CAP_INS, "avx"},
	{4, 29, CPU_CAP_INS, "f16c"},
	{4, 30, CPU_CAP_INS, "rdrand"},
	{6, 0, CPU_CAP_INS, "lahf_lm"},
	{6, 5, CPU_CAP_INS, "abm"},
	{6, 6, CPU_CAP_INS, "sse4a"},
	{6, 8, CPU_CAP_INS, "3dnowprefetch"},
	{6, 11, CPU_CAP_INS, "xop"},
	{6, 15, CPU_CAP_INS, "lwp"},
	{6, 16, CPU_CAP_INS, "fma4"},
	{6, 21, CPU_CAP_INS, "tbm"},
	{6, 29, CPU_CAP_INS, "mwaitx"},
	{9, 0, CPU_CAP_INS, "fsgsbase"},
	{9, 3, CPU_CAP_INS, "bmi1"},
	{9, 4, CPU_CAP_INS, "hle"},
	{9, 5, CPU_CAP_INS, "avx2"},
	{9, 8, CPU_CAP_INS, "bmi2"},
	{9, 9, CPU_CAP_INS, "erms"},
	{9, 11, CPU_CAP_INS, "rtm"},
	{9, 14, CPU_CAP_INS, "mpx"},
	{9, 16, CPU_CAP_INS, "avx512f"},
	{9, 17, CPU_CAP_INS, "avx512dq"},
	{9, 18, CPU_CAP_INS, "rdseed"},
	{9, 19, CPU_CAP_INS, "adx"},
	{9, 21, CPU_CAP_INS, "avx512ifma"},
	{9, 23, CPU_CAP_INS, "clflushopt"},
	{9, 24, CPU_CAP_INS, "clwb"},
	{9, 26, CPU_CAP_INS, "avx512pf"},
	{9, 27, CPU_CAP_INS, "avx512er"},
	{9, 28, CPU_CAP_INS, "avx512cd"},
	{9, 29, CPU_CAP_INS, "sha_ni"},
	{9, 30, CPU_CAP_INS, "avx512bw"},
	{9, 31, CPU_CAP_INS, "avx512vl"},
	{10, 0, CPU_CAP_INS, "xsaveopt"},
	{10, 1, CPU_CAP_INS, "xsavec"},
	{10, 2, CPU_CAP_INS, "xgetbv1"},
	{12, 0, CPU_CAP_INS, "sha512"},
	{12, 1, CPU_CAP_INS, "sm3"},
	{12, 2, CPU_CAP_INS, "sm4"},
	{12, 4, CPU_CAP_INS, "avx_vnni"},
	{12, 5, CPU_CAP_INS, "avx512_bf16"},
	{12, 7, CPU_CAP_INS, "cmpccxadd"},
	{12, 21, CPU_CAP_INS, "amx_fp16"},
	{12, 23, CPU_CAP_INS, "avx_ifma"},
	{13, 0, CPU_CAP_INS, "clzero"},
	{13, 4, CPU_CAP_INS, "rdpru"},
	{16, 1, CPU_CAP_INS, "avx512vbmi"},
	{16, 4, CPU_CAP_INS, "ospke"},
	{16, 5, CPU_CAP_INS, "waitpkg"},
	{16, 6, CPU_CAP_INS, "avx512_vbmi2"},
	{16, 8, CPU_CAP_INS, "gfni"},
	{16, 9, CPU_CAP_INS, "vaes"},
	{16, 10, CPU_CAP_INS, "vpclmulqdq"},
	{16, 11, CPU_CAP_INS, "avx512_vnni"},
	{16, 12, CPU_CAP_INS, "avx512_bitalg"},
	{16, 14, CPU_CAP_INS, "avx512_vpopcntdq"},
	{16, 22, CPU_CAP_INS, "rdpid"},
	{16, 25, CPU_CAP_INS, "cldemote"},
	{16, 27, CPU_CAP_INS, "movdiri"},
	{16, 28, CPU_CAP_INS, "movdir64b"},
	{16, 29, CPU_CAP_INS, "enqcmd"},
	{18, 2, CPU_CAP_INS, "avx512_4vnniw"},
	{18, 3, CPU_CAP_INS, "avx512_4fmaps"},
	{18, 8, CPU_CAP_INS, "avx512_vp2intersect"},
	{18, 14, CPU_CAP_INS, "serialize"},
	{18, 16, CPU_CAP_INS, "tsxldtrk"},
	{18, 22, CPU_CAP_INS, "amx_bf16"},
	{18, 23, CPU_CAP_INS, "avx512_fp16"},
	{18, 24, CPU_CAP_INS, "amx_tile"},
	{18, 25, CPU_CAP_INS, "amx_int8"},
};

/* The highest leaf of the range that begins with leaf; headers differ in its sign. */
static uint32_t highest_leaf(uint32_t leaf)
{
	return (uint32_t)__get_cpuid_max(leaf, NULL);
}

static uint32_t read_word(size_t i)
{
	uint32_t r[5] = {0};
	const uint32_t leaf = words[i].leaf;

	/* A range of leaves that the CPU does not have answers with those of another one. */
	if (!leaf || highest_leaf(leaf & 0xffff0000) < leaf)
		return 0;
	if (leaf >= 0x80860000 && highest_leaf(leaf & 0xffff0000) > leaf + 0xffff)
		return 0;
	__cpuid_count(leaf, words[i].subleaf, r[EAX], r[EBX], r[ECX], r[EDX]);
	return r[words[i].reg];
}

static void get_model(CpuinfoX86Entry *e)
{
	uint32_t a, b, c, d, name[3], max;

	__cpuid(0, max, name[0], name[2], name[1]);
	if (memcmp(name, "GenuineIntel", 12) == 0)
		e->vendor_id = CPUINFO_X86_ENTRY__VENDOR__INTEL;
	else if (memcmp(name, "AuthenticAMD", 12) == 0 || memcmp(name, "HygonGenuine", 12) == 0)
		e->vendor_id = CPUINFO_X86_ENTRY__VENDOR__AMD;
	else
		e->vendor_id = CPUINFO_X86_ENTRY__VENDOR__UNKNOWN;
	if (max < 1)
		return;
	__cpuid(1, a, b, c, d);
	e->cpu_family = a >> 8 & 0xf;
	e->model = a >> 4 & 0xf;
	e->stepping = a & 0xf;
	if (e->cpu_family >= 6)
		e->model += (a >> 16 & 0xf) << 4;
	if (e->cpu_family == 0xf)
		e->cpu_family += a >> 20 & 0xff;
}

static void get_name(CpuinfoX86Entry *e)
{
	uint32_t text[13] = {0};

	if (highest_leaf(0x80000000) < 0x80000004)
		return;
	for (uint32_t i = 0; i < 3; i++)
		__cpuid(0x80000002 + i, text[4 * i], text[4 * i + 1], text[4 * i + 2],
			text[4 * i + 3]);
	e->model_id = xstrdup((const char *)text + strspn((const char *)text, " "));
}

static void get_extended_state(CpuinfoX86Entry *e)
{
	uint32_t a, b, c, d, low, high;

	if (!(e->capability[4] & OSXSAVE))
		return;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	__cpuid_count(0xd, 0, a, b, c, d);
	e->has_xfeatures_mask = e->has_xsave_size = e->has_xsave_size_max = true;
	e->xfeatures_mask = (uint64_t)high << 32 | low;
	e->xsave_size = b;
	e->xsave_size_max = c;
}

CpuinfoEntry *cpuinfo_get(void)
{
	CpuinfoEntry *entry = message_new(&cpuinfo_entry__descriptor);
	CpuinfoX86Entry *e = message_new(&cpuinfo_x86_entry__descriptor);

	entry->x86_entry = xcalloc(1, sizeof(*entry->x86_entry));
	entry->x86_entry[0] = e;
	entry->n_x86_entry = 1;
	e->capability_ver = CAPABILITY_VERSION;
	e->capability = xcalloc(N_WORDS, sizeof(*e->capability));
	e->n_capability = N_WORDS;
	for (size_t i = 0; i < N_WORDS; i++)
		e->capability[i] = read_word(i);
	get_model(e);
	get_name(e);
	get_extended_state(e);
	return entry;
}

static int missing_feature(const CpuinfoX86Entry *dumped, const CpuinfoX86Entry *own,
			   unsigned int caps, char *why, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t missing = dumped->capability[features[i].word] &
				   ~own->capability[features[i].word];

		if (!(features[i].cap & caps) || !(missing >> features[i].bit & 1))
			continue;
		snprintf(why, size, "field capability: had %s, which this CPU does not have",
			 features[i].name);
		return -ENOTSUP;
	}
	return 0;
}

static int compare_extended_state(const CpuinfoX86Entry *dumped, const CpuinfoX86Entry *own,
				  char *why, size_t size)
{
	if (dumped->xfeatures_mask & ~own->xfeatures_mask) {
		snprintf(why, size,
			 "field xfeatures_mask: had components %#" PRIx64
			 " of the extended state, which are not there here",
			 dumped->xfeatures_mask & ~own->xfeatures_mask);
		return -ENOTSUP;
	}
	if ((dumped->has_xsave_size && dumped->xsave_size != own->xsave_size) ||
	    (dumped->has_xsave_size_max && dumped->xsave_size_max != own->xsave_size_max)) {
		snprintf(why, size,
			 "field xsave_size: the extended state had %u of %u bytes, here %u of %u",
			 dumped->xsave_size, dumped->xsave_size_max, own->xsave_size,
			 own->xsave_size_max);
		return -ENOTSUP;
	}
	return 0;
}

static int compare_cpu(const CpuinfoX86Entry *dumped, const CpuinfoX86Entry *own, char *why,
		       size_t size)
{
	if (dumped->vendor_id == own->vendor_id && dumped->cpu_family == own->cpu_family &&
	    dumped->model == own->model && dumped->stepping == own->stepping) {
		for (size_t i = 0; i < N_WORDS; i++) {
			/* Words that the kernel makes up say nothing of the CPU. */
			if (!words[i].leaf || dumped->capability[i] == own->capability[i])
				continue;
			snprintf(why, size, "field capability: word %zu was %#x, is %#x here", i,
				 dumped->capability[i], own->capability[i]);
			return -ENOTSUP;
		}
		return 0;
	}
	snprintf(why, size,
		 "another CPU: was vendor %d family %u model %u stepping %u, "
		 "here vendor %d family %u model %u stepping %u",
		 dumped->vendor_id, dumped->cpu_family, dumped->model, dumped->stepping,
		 own->vendor_id, own->cpu_family, own->model, own->stepping);
	return -ENOTSUP;
}

int cpuinfo_compare(const CpuinfoEntry *dumped, const CpuinfoEntry *own, unsigned int caps,
		    char *why, size_t size)
{
	const CpuinfoX86Entry *a, *b = own->x86_entry[0];
	int err;

	if (dumped->n_x86_entry != 1) {
		snprintf(why, size, "field x86_entry: there are %zu, not one", dumped->n_x86_entry);
		return -EBADMSG;
	}
	a = dumped->x86_entry[0];
	if (a->capability_ver != CAPABILITY_VERSION || a->n_capability != N_WORDS) {
		snprintf(why, size, "field capability: has %zu words of version %u, not %d of %d",
			 a->n_capability, a->capability_ver, N_WORDS, CAPABILITY_VERSION);
		return -EBADMSG;
	}
	err = missing_feature(a, b, caps, why, size);
	if (!err && caps & CPU_CAP_FPU)
		err = compare_extended_state(a, b, why, size);
	if (!err && caps & CPU_CAP_CPU)
		err = compare_cpu(a, b, why, size);
	return err;
}

int cpuinfo_dump(struct cr *cr)
{
	CpuinfoEntry *entry;
	int err;

	if (!(cr->opts->cpu_cap & CPU_CAP_IMAGE))
		return 0;
	entry = cpuinfo_get();
	err = image_write_one(cr->images, IMAGE_CPUINFO, 0, &entry->base);
	image_message_free(entry);
	return err < 0 ? log_refuse(cr, err, "%s", image_last_error(cr->images)) : 0;
}

int cpuinfo_check(struct cr *cr)
{
	CpuinfoEntry *dumped, *own;
	char why[200];
	int err;

	if (!(cr->opts->cpu_cap & CPU_CAP_IMAGE))
		return 0;
	err = image_read_one(cr->images, IMAGE_CPUINFO, 0, &dumped);
	if (err < 0) {
		log_refuse(cr, err, "%s", image_last_error(cr->images));
		if (err == -ENOENT)
			log_remedy(cr, "the tree was dumped without --cpu-cap: restore it without");
		return err;
	}
	own = cpuinfo_get();
	err = cpuinfo_compare(dumped, own, cr->opts->cpu_cap, why, sizeof(why));
	image_message_free(own);
	image_message_free(dumped);
	return err < 0 ? log_refuse(cr, err, "cpuinfo.img: %s", why) : 0;
}
