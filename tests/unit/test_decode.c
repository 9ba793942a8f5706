/* SPDX-License-Identifier: MIT */
/* emulate/decode.c: every opcode against Zydis, and its own promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/zydis_oracle.h"

/* Prefixes that are put before every opcode, alone and together. */
static const char *const prefixes[] = {
    "",         "\x66",     "\x67",     "\xf0",     "\xf2",
    "\xf3",     "\x64",     "\x2e",     "\x66\x67", "\x66\xf3",
    "\xf0\x66", "\x36\x67", "\x48",     "\x41",     "\x66\x4f",
    "\xf3\x44", "\xf0\x48", "\x67\x42", "\x48\x66", "\x65\x2e\x49",
};

/* Displacement and immediates that show where each byte goes. */
static const u8 tail[] = {0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0x11};

#define MODRM_STEP 3 /* visits every mod, reg and rm, not all together */

static u32 put(u8 *bytes, u32 at, const char *text)
{
	for (; *text; text++)
		bytes[at++] = (u8)*text;
	return at;
}

static u32 sweep(const char *opcode_prefix, u32 opcode, u32 first_modrm)
{
	enum decode_result result;
	u32 ok_count = 0;
	u8 bytes[32];

	for (u32 p = 0; p < ARRAY_COUNT(prefixes); p++) {
		u32 at = put(bytes, 0, prefixes[p]);

		at = put(bytes, at, opcode_prefix);
		bytes[at++] = (u8)opcode;
		memcpy(bytes + at + 2, tail, sizeof(tail));
		for (u32 modrm = first_modrm; modrm < 256;
		     modrm += MODRM_STEP) {
			bytes[at] = (u8)modrm;
			bytes[at + 1] = (u8)(modrm * 37 + opcode);
			for (u32 size = CODE_16; size <= CODE_64; size++) {
				assert_true(
				    zydis_agrees(bytes, 15, size, &result));
				ok_count += result == DECODE_OK;
			}
		}
	}
	return ok_count;
}

static void all_opcodes_decode_as_zydis_says(void **state)
{
	static const char *const maps[] = {"", "\x0f", "\x0f\x38"};
	u32 ok_count = 0;

	(void)state;
	for (u32 map = 0; map < ARRAY_COUNT(maps); map++)
		for (u32 opcode = 0; opcode < 256; opcode++)
			ok_count +=
			    sweep(maps[map], opcode, opcode % MODRM_STEP);
	/* The sweep has met the supported instructions, not gone round them. */
	assert_true(ok_count > 200000);
}

static enum decode_result decode_64(struct instruction *in, const char *bytes,
				    u32 count)
{
	return decode(in, (const u8 *)bytes, count, CODE_64);
}

static void every_shorter_prefix_is_truncated(void **state)
{
	/* lock add qword ptr gs:[r12 + r13*8 + 0x12345678], 0x11223344 */
	static const char bytes[] = "\xf0\x65\x4b\x81\x84\xec\x78\x56\x34\x12"
				    "\x44\x33\x22\x11";
	struct instruction in;

	(void)state;
	for (u32 count = 0; count < 14; count++)
		assert_int_equal(decode_64(&in, bytes, count),
				 DECODE_TRUNCATED);
	assert_int_equal(decode_64(&in, bytes, 14), DECODE_OK);
	assert_int_equal(in.length, 14);
	assert_int_equal(in.operation, OP_ADD);
	assert_true(in.is_locked);
	assert_int_equal(in.segment, SEGMENT_GS);
	assert_int_equal(in.base, GPR_R8 + 4);
	assert_int_equal(in.index, GPR_R8 + 5);
	assert_int_equal(in.scale_shift, 3);
	assert_int_equal(in.displacement, 0x12345678);
	assert_int_equal(in.immediate, 0x11223344);
}

static void sixteen_bytes_are_too_long(void **state)
{
	static const char bytes[] = "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66"
				    "\x66\x66\x66\x89\x45\x10";
	struct instruction in;

	(void)state;
	assert_int_equal(decode_64(&in, bytes, 16), DECODE_TOO_LONG);
	assert_int_equal(decode_64(&in, bytes + 1, 15), DECODE_OK);
	assert_int_equal(decode_64(&in, bytes, 15), DECODE_TOO_LONG);
}

static void sse_and_system_forms_are_unsupported(void **state)
{
	static const struct {
		const char *bytes;
		u32 count;
	} forms[] = {
	    {"\x0f\x12\x07", 3},     /* movlps xmm0, [rdi] */
	    {"\x0f\x28\xc1", 3},     /* movaps xmm0, xmm1 */
	    {"\x0f\x6f\x07", 3},     /* movq mm0, [rdi] */
	    {"\xf3\x0f\xe7\x07", 4}, /* not movntdq */
	    {"\xc5\xfe\x6f\x07", 4}, /* vmovdqu ymm0, [rdi] */
	    {"\xd9\x07", 2},         /* fld dword ptr [rdi] */
	    {"\x0f\x01\x17", 3},     /* lgdt [rdi] */
	    {"\x0f\xae\x07", 3},     /* fxsave [rdi] */
	    {"\xff\x17", 2},         /* call [rdi] */
	    {"\x8e\x1f", 2},         /* mov ds, [rdi] */
	    {"\xf3\x0f\xbc\x07", 4}, /* tzcnt eax, [rdi] */
	};
	struct instruction in;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(forms); i++)
		assert_int_equal(decode_64(&in, forms[i].bytes, forms[i].count),
				 DECODE_UNSUPPORTED);
}

static void bytes_print_as_hexadecimal(void **state)
{
	struct instruction in;
	char text[64], tiny[5];

	(void)state;
	assert_int_equal(decode_64(&in, "\x0f\x12\x07", 3), DECODE_UNSUPPORTED);
	decode_print_bytes(&in, text, sizeof(text));
	assert_string_equal(text, "0f 12 07");
	decode_print_bytes(&in, tiny, sizeof(tiny));
	assert_string_equal(tiny, "0f 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_opcodes_decode_as_zydis_says),
	    cmocka_unit_test(every_shorter_prefix_is_truncated),
	    cmocka_unit_test(sixteen_bytes_are_too_long),
	    cmocka_unit_test(sse_and_system_forms_are_unsupported),
	    cmocka_unit_test(bytes_print_as_hexadecimal),
	};

	return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
