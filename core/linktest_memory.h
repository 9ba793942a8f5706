/* SPDX-License-Identifier: MIT */
/*
 * What sending a page costs Umbra itself, in ticks (in Bochs: instructions),
 * step by step: finding out that it is not zero, or that it is; copying it
 * into a record; the record's checksum; giving the record to a link in memory;
 * compressing it.
 */
#ifndef CORE_LINKTEST_MEMORY_H
#define CORE_LINKTEST_MEMORY_H

void linktest_memory(void);

#endif
