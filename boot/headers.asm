; SPDX-License-Identifier: MIT
; The two headers by which boot loaders know this image.
;
; Multiboot Specification 0.6.96, "OS image format": within the first 8192
; bytes, 4-byte aligned. Multiboot2 Specification 2.0, "OS image format":
; within the first 32768 bytes, 8-byte aligned. Both enter boot_start in 32-bit
; protected mode, with paging off.

MB1_MAGIC	equ 0x1badb002
MB1_PAGE_ALIGN	equ 1 << 0		; boot modules start on a page
MB1_MEMORY_INFO	equ 1 << 1		; we want the memory map
MB1_FLAGS	equ MB1_PAGE_ALIGN | MB1_MEMORY_INFO

MB2_MAGIC	equ 0xe85250d6
MB2_ARCH_I386	equ 0
MB2_TAG_END	equ 0
MB2_TAG_ALIGN	equ 6			; boot modules start on a page

section .boot.headers progbits alloc noexec nowrite align=8
	align 8
mb2_header:
	dd MB2_MAGIC
	dd MB2_ARCH_I386
	dd mb2_header_end - mb2_header
	dd (1 << 32) - (MB2_MAGIC + MB2_ARCH_I386 + (mb2_header_end - mb2_header))

	dw MB2_TAG_ALIGN
	dw 0
	dd 8

	dw MB2_TAG_END
	dw 0
	dd 8
mb2_header_end:

	align 4
	dd MB1_MAGIC
	dd MB1_FLAGS
	dd (1 << 32) - (MB1_MAGIC + MB1_FLAGS)
