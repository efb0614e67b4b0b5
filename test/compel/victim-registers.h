/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All registers of x86_64, filled with a pattern, left alone for a while, and looked at again.
 * Written as one piece of assembly for each set, so that the compiler has no part in it.
 */
#ifndef TEST_COMPEL_VICTIM_REGISTERS_H
#define TEST_COMPEL_VICTIM_REGISTERS_H

enum { SPIN = 200000 };

struct general_set {
	uint64_t in[12], out[12], redzone[16];
};

struct vector_set {
	uint8_t in[32][64], out[32][64];
	uint64_t masks_in[8], masks_out[8];
	uint8_t x87_in[8][16], x87_out[8][16];
};

/* rax is the pointer, rcx counts. */
static void __attribute__((noinline)) spin_general(struct general_set *set)
{
	__asm__ volatile("lea -512(%%rsp), %%rsp\n\t"
			 "push %%rbp\n\t"
			 "mov 0(%%rax), %%rbx; mov 8(%%rax), %%rdx; mov 16(%%rax), %%rsi\n\t"
			 "mov 24(%%rax), %%rdi; mov 32(%%rax), %%rbp; mov 40(%%rax), %%r8\n\t"
			 "mov 48(%%rax), %%r9; mov 56(%%rax), %%r10; mov 64(%%rax), %%r11\n\t"
			 "mov 72(%%rax), %%r12; mov 80(%%rax), %%r13; mov 88(%%rax), %%r14\n\t"
			 "mov $16, %%ecx\n\t"
			 "neg %%rcx\n\t"
			 "1: mov %%r14, (%%rsp, %%rcx, 8); add %%rcx, (%%rsp, %%rcx, 8)\n\t"
			 "inc %%rcx; jnz 1b\n\t"
			 "mov %[spin], %%ecx\n\t"
			 "std\n\t"
			 "2: dec %%rcx; jnz 2b\n\t"
			 "cld\n\t"
			 "mov %%rbx, 96(%%rax); mov %%rdx, 104(%%rax); mov %%rsi, 112(%%rax)\n\t"
			 "mov %%rdi, 120(%%rax); mov %%rbp, 128(%%rax); mov %%r8, 136(%%rax)\n\t"
			 "mov %%r9, 144(%%rax); mov %%r10, 152(%%rax); mov %%r11, 160(%%rax)\n\t"
			 "mov %%r12, 168(%%rax); mov %%r13, 176(%%rax); mov %%r14, 184(%%rax)\n\t"
			 "mov $16, %%ecx\n\t"
			 "neg %%rcx\n\t"
			 "3: mov (%%rsp, %%rcx, 8), %%rbx; mov %%rbx, 320(%%rax, %%rcx, 8)\n\t"
			 "inc %%rcx; jnz 3b\n\t"
			 "pop %%rbp\n\t"
			 "lea 512(%%rsp), %%rsp\n\t"
			 :
			 : "a"(set), [spin] "i"(SPIN)
			 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "memory", "cc");
}

#define EACH16(m) \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)
#define EACH32(m)                                                                                 \
	EACH16(m)                                                                                 \
	m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) m(29) m(30) \
		m(31)
#define EACH7(m) m(1) m(2) m(3) m(4) m(5) m(6) m(7)

#define YMM_IN(n)   "vmovdqu " #n "*64(%%rax), %%ymm" #n "\n\t"
#define YMM_OUT(n)  "vmovdqu %%ymm" #n ", 2048+" #n "*64(%%rax)\n\t"
#define ZMM_IN(n)   "vmovdqu64 " #n "*64(%%rax), %%zmm" #n "\n\t"
#define ZMM_OUT(n)  "vmovdqu64 %%zmm" #n ", 2048+" #n "*64(%%rax)\n\t"
#define MASK_IN(n)  "kmovq 4096+" #n "*8(%%rax), %%k" #n "\n\t"
#define MASK_OUT(n) "kmovq %%k" #n ", 4160+" #n "*8(%%rax)\n\t"
#define X87_IN      "fldt 4224(%%rax); fldt 4240(%%rax); fldt 4256(%%rax); fldt 4272(%%rax)\n\t"
#define X87_OUT     "fstpt 4400(%%rax); fstpt 4384(%%rax); fstpt 4368(%%rax); fstpt 4352(%%rax)\n\t"
#define SPIN_HERE   "mov %[spin], %%ecx\n\t1: dec %%rcx; jnz 1b\n\t"

static void __attribute__((noinline)) spin_avx(struct vector_set *set)
{
	__asm__ volatile(EACH16(YMM_IN) X87_IN SPIN_HERE EACH16(YMM_OUT) X87_OUT "vzeroupper"
			 :
			 : "a"(set), [spin] "i"(SPIN)
			 : "rcx", "memory", "cc");
}

static void __attribute__((noinline)) spin_avx512(struct vector_set *set)
{
	__asm__ volatile(EACH32(ZMM_IN) EACH7(MASK_IN) X87_IN SPIN_HERE EACH32(ZMM_OUT)
				 EACH7(MASK_OUT) X87_OUT "vzeroupper"
			 :
			 : "a"(set), [spin] "i"(SPIN)
			 : "rcx", "memory", "cc");
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

/* Intel's tiles: used only after the process asked for them. */
static bool has_tiles(void)
{
	enum { REQ_XCOMP_PERM = 0x1023, XTILE_DATA = 18 };
	unsigned int a, b, c, d = 0;

	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	return d >> 24 & 1 && syscall(__NR_arch_prctl, REQ_XCOMP_PERM, XTILE_DATA) == 0;
}

static void spin_tiles(struct work *w)
{
	static __thread uint8_t in[16][64], out[16][64];
	uint8_t config[64] __attribute__((aligned(64))) = {1};

	config[16] = 64; /* bytes a row of tile 0 */
	config[48] = 16; /* its rows */
	memset(in, 0x5a ^ w->index, sizeof(in));
	__asm__ volatile("ldtilecfg (%[config])\n\t"
			 "tileloadd (%[in], %[stride], 1), %%tmm0\n\t"
			 "mov %[spin], %%ecx\n\t1: dec %%rcx; jnz 1b\n\t"
			 "tilestored %%tmm0, (%[out], %[stride], 1)\n\t"
			 "tilerelease"
			 :
			 : [config] "r"(config), [in] "r"(in), [out] "r"(out), [stride] "r"(64L),
			   [spin] "i"(SPIN)
			 : "rcx", "memory", "cc");
	if (memcmp(in, out, sizeof(in)) != 0)
		fail("thread %u: tile registers changed", w->index);
}

static void check_general(struct work *w)
{
	struct general_set set;

	for (int i = 0; i < 12; i++)
		set.in[i] = 0x0123456789abcdefULL * (i + 3 + w->index) + report->rounds[w->index];
	spin_general(&set);
	for (int i = 0; i < 12; i++) {
		if (set.in[i] != set.out[i])
			fail("thread %u: general register %d: %llx instead of %llx", w->index, i,
			     (unsigned long long)set.out[i], (unsigned long long)set.in[i]);
	}
	for (int i = 0; i < 16; i++) {
		if (set.redzone[i] != set.in[11] + (uint64_t)(i - 16))
			fail("thread %u: red zone word %d: %llx", w->index, i,
			     (unsigned long long)set.redzone[i]);
	}
}

static void check_vectors(struct work *w)
{
	static __thread struct vector_set set __attribute__((aligned(64)));
	bool wide = has_avx512();
	size_t bytes = wide ? 64 : 32;

	_Static_assert(offsetof(struct vector_set, out) == 2048, "as the assembly has it");
	_Static_assert(offsetof(struct vector_set, x87_in) == 4224, "as the assembly has it");
	for (size_t i = 0; i < sizeof(set.in); i++)
		((uint8_t *)set.in)[i] = i * 7 + report->rounds[w->index] + w->index;
	for (int i = 0; i < 8; i++)
		set.masks_in[i] = 0xfedcba9876543210ULL * (i + 1);
	for (int i = 0; i < 4; i++) {
		long double value = 1.25L * (i + 1) + w->index;

		memcpy(set.x87_in[i], &value, 10);
	}
	if (wide)
		spin_avx512(&set);
	else
		spin_avx(&set);
	for (int i = 0; i < (wide ? 32 : 16); i++) {
		if (memcmp(set.in[i], set.out[i], bytes) != 0)
			fail("thread %u: vector register %d changed", w->index, i);
	}
	for (int i = 1; wide && i < 8; i++) {
		if (set.masks_in[i] != set.masks_out[i])
			fail("thread %u: mask register %d changed", w->index, i);
	}
	for (int i = 0; i < 4; i++) {
		if (memcmp(set.x87_in[i], set.x87_out[i], 10) != 0)
			fail("thread %u: x87 register %d changed", w->index, i);
	}
}

static void round_compute(struct work *w)
{
	static __thread int tiles, key, rights;

	if (!tiles) {
		tiles = has_tiles() ? 1 : -1;
		key = pkey_alloc(0, PKEY_DISABLE_WRITE);
		rights = PKEY_DISABLE_WRITE;
	}
	if (key > 0) {
		rights ^= PKEY_DISABLE_ACCESS;
		pkey_set(key, rights);
	}
	check_general(w);
	check_vectors(w);
	if (tiles > 0)
		spin_tiles(w);
	if (key > 0 && pkey_get(key) != rights)
		fail("thread %u: PKRU changed", w->index);
}

#endif
