; SPDX-License-Identifier: MIT
;
; The fast boot: an option ROM for Bochs that is a multiboot 1 loader.
;
; The BIOS calls it once PCI, ACPI and the CPUs are set up. It collects the
; memory map, goes to protected mode and starts the kernel that lies, with its
; modules and with nearly all of its multiboot information, in a RAM image
; that the front end has prepared (tools/umbra/fastboot.py is its other half).
; It never returns to the BIOS.
;
; The front end fills in `image_base` and `image_slots` and makes the bytes of
; the ROM sum to zero, as the BIOS demands.
;
; How the RAM image gets into memory. Bochs hands out its memory in slots of
; 128 KiB, the next free one whenever an address is touched for the first
; time. Bochs 2.7 loads a RAM image by touching its first address only, and
; then writes straight on, into slots that belong to no address yet:
;
;	slots		0	1  2 ... 31	32		33 ...
;	the file	nothing	marks 1..31	boot block	contents ...
;
; Slot 0 is bound to image_base. The next ones go to whatever the BIOS happens
; to touch. We read addresses after image_base, each one slot further, until
; we meet mark 31; from there on one touch per slot puts the rest of the file
; where it belongs: slot n at image_base + n * 128 KiB. Later versions of
; Bochs load the file there in the first place, and the same code finds it.

%define ROM_BYTES	1024
%ifndef ROM_ADDRESS			; a test puts it elsewhere
%define ROM_ADDRESS	0xd0000		; must agree with bochs.py
%endif
%define SLOT_BYTES	0x20000
%define FIRST_SLOT	32		; must agree with fastboot.py
%define MARK		0x554d4200	; 'UMB' and the number of the slot

; The boot block, at the start of slot FIRST_SLOT.
%define BLOCK_MAGIC	0x31424d55	; 'UMB1'
%define block_magic	0
%define block_entry	4		; where the kernel starts
%define block_info	8		; multiboot information
%define block_map	12		; room for MAP_ENTRIES of the memory map
%define block_loads	16		; the load list ...
%define block_load_count 20		; ... and its length
; One entry of the load list: copy, then fill with zeros.
%define load_to		0
%define load_from	4
%define load_bytes	8
%define load_zeros	12
%define LOAD_ENTRY_BYTES 16

; Multiboot specification, "Boot information format".
%define BOOTLOADER_MAGIC 0x2badb002
%define info_mem_lower	4
%define info_mem_upper	8
%define info_mmap_length 44
%define info_mmap_addr	48

%define MAP_SCRATCH	0x600		; below 0x7c00: free until a boot sector
%define MAP_ENTRY_BYTES	24		; size field, base, length, type
%define MAP_ENTRIES	64
%define SMAP		0x534d4150
%define RAM		1

%define COM1		0x3f8
%define BOCHS_SHUTDOWN	0x8900

	bits 16
	org 0

rom:
	db 0x55, 0xaa
	db ROM_BYTES / 512
	jmp strict near start

	align 8, db 0
image_base:
	dd 0
image_slots:
	dd 0

	align 8, db 0
gdt:
	dq 0
	; Flat, 4 GiB. The accessed bits are set already: this is ROM.
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
gdt_pointer:
	dw gdt_pointer - gdt - 1
	dd ROM_ADDRESS + gdt

start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	int 0x12			; KiB below 640 KiB, in ax
	movzx ebp, ax
	call collect_map		; edi: behind the last entry

	in al, 0x92			; A20 on, and bit 0 would be a reset
	or al, 2
	and al, 0xfe
	out 0x92, al
	o32 lgdt [gdt_pointer]
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword 8:(ROM_ADDRESS + protected)

; Writes the BIOS's memory map to MAP_SCRATCH as multiboot entries.
collect_map:
	xor ax, ax
	mov es, ax
	mov edi, MAP_SCRATCH
	xor ebx, ebx
.next:
	mov dword [es:di], MAP_ENTRY_BYTES - 4
	mov eax, 0xe820
	mov edx, SMAP
	mov ecx, MAP_ENTRY_BYTES - 4
	push di
	add di, 4
	int 0x15
	pop di
	jc .done
	cmp eax, SMAP
	jne .done
	add di, MAP_ENTRY_BYTES
	test ebx, ebx
	jz .done
	cmp di, MAP_SCRATCH + MAP_ENTRIES * MAP_ENTRY_BYTES
	jb .next
.done:
	cli				; the BIOS may have turned them on
	ret

	bits 32
protected:
	mov eax, 16
	mov ds, eax
	mov es, eax
	mov fs, eax
	mov gs, eax
	mov ss, eax
	mov esp, 0x7c00
	call bind_image			; ebx: the boot block
	call write_map
	call load_segments
	mov ecx, [ebx + block_entry]
	mov ebx, [ebx + block_info]
	mov eax, BOOTLOADER_MAGIC
	jmp ecx

; Puts the RAM image in its place: see the top of this file.
bind_image:
	mov esi, [ROM_ADDRESS + image_base]
	lea ebx, [esi + FIRST_SLOT * SLOT_BYTES]
.look:
	add esi, SLOT_BYTES
	cmp esi, ebx
	jae no_image
	cmp dword [esi], MARK + FIRST_SLOT - 1
	jne .look

	mov esi, ebx
	mov ecx, [ROM_ADDRESS + image_slots]
.bind:
	mov eax, [esi]
	add esi, SLOT_BYTES
	dec ecx
	jnz .bind
	cmp dword [ebx + block_magic], BLOCK_MAGIC
	jne no_image
	ret

; ebx: the boot block, edi: the end of the map in MAP_SCRATCH, ebp: lower KiB.
write_map:
	mov edx, [ebx + block_info]
	mov [edx + info_mem_lower], ebp
	lea ecx, [edi - MAP_SCRATCH]
	mov [edx + info_mmap_length], ecx
	mov edi, [ebx + block_map]
	mov [edx + info_mmap_addr], edi
	mov esi, MAP_SCRATCH
	mov eax, edi
	rep movsb
	; mem_upper: the RAM that starts at 1 MiB, in KiB.
.find:
	cmp eax, edi
	jae .found
	cmp dword [eax + 4], 0x100000
	jne .other
	cmp dword [eax + 8], 0
	jne .other
	cmp dword [eax + 20], RAM
	jne .other
	mov ecx, [eax + 12]
	shr ecx, 10
	mov [edx + info_mem_upper], ecx
.other:
	add eax, MAP_ENTRY_BYTES
	jmp .find
.found:
	ret

; ebx: the boot block.
load_segments:
	mov edx, [ebx + block_loads]
	mov ebp, [ebx + block_load_count]
.next:
	test ebp, ebp
	jz .done
	mov edi, [edx + load_to]
	mov esi, [edx + load_from]
	mov ecx, [edx + load_bytes]
	shr ecx, 2			; by dwords: Bochs counts every step
	rep movsd
	mov ecx, [edx + load_bytes]
	and ecx, 3
	rep movsb
	xor eax, eax
	mov ecx, [edx + load_zeros]
	shr ecx, 2
	rep stosd
	mov ecx, [edx + load_zeros]
	and ecx, 3
	rep stosb
	add edx, LOAD_ENTRY_BYTES
	dec ebp
	jmp .next
.done:
	ret

; Says so and ends the run.
no_image:
	mov edx, COM1 + 3		; eight bits to a byte
	mov al, 3
	out dx, al
	mov esi, ROM_ADDRESS + text_no_image
	mov edx, COM1 + 5
.next:
	in al, dx
	test al, 0x20			; room for a byte
	jz .next
	lodsb
	test al, al
	jz .drain
	mov edx, COM1
	out dx, al
	mov edx, COM1 + 5
	jmp .next
.drain:
	in al, dx
	test al, 0x40			; all sent
	jz .drain
	mov esi, ROM_ADDRESS + text_shutdown
	mov edx, BOCHS_SHUTDOWN
	mov ecx, 8
	rep outsb
.stop:
	hlt
	jmp .stop

text_no_image:
	db "fast boot: this Bochs did not load the RAM image; use --iso", 13, 10, 0
text_shutdown:
	db "Shutdown"

	times ROM_BYTES - 1 - ($ - $$) db 0
checksum:
	db 0
