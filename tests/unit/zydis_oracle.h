/* SPDX-License-Identifier: MIT */
/* Zydis, as packaged by Debian, as the judge of emulate/decode.c. */
#ifndef TESTS_UNIT_ZYDIS_ORACLE_H
#define TESTS_UNIT_ZYDIS_ORACLE_H

#include "emulate/decode.h"

/*
 * Decodes the bytes with both and compares every field. Where they differ,
 * writes one line to stderr and returns false. `*result` is our answer.
 */
bool zydis_agrees(const u8 *bytes, u32 byte_count, enum code_size code_size,
		  enum decode_result *result);

#endif
