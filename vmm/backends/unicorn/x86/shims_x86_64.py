"""The hooks of `shims` as machine code of x86_64 hosts (System V calling convention)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# engine rdi, vector esi, state rdx
DELIVER_EXCEPTION: Final = """
    f6 82 {tr.flags+1} 80                ; test byte ptr [rdx + {tr.flags+1}], 0x80
    75 >usable                           ; jnz usable
    c7 82 {tr.flags} 00 89 00 00         ; mov dword ptr [rdx + {tr.flags}], 0x8900
usable:
    83 ba {exception_is_int} 00          ; cmp dword ptr [rdx + {exception_is_int}], 0
    74 >raised                           ; je raised
    83 ee 03                             ; sub esi, 3
    83 fe 02                             ; cmp esi, 2
    b8 02 00 00 00                       ; mov eax, 2
    83 d8 00                             ; sbb eax, 0
    48 29 82 {rip}                       ; sub qword ptr [rdx + {rip}], rax
    eb >deliver                          ; jmp deliver
raised:
    83 fe 0b                             ; cmp esi, 11
    74 >selector                         ; je selector
    83 fe 0d                             ; cmp esi, 13
    75 >deliver                          ; jne deliver
selector:
    f7 82 {hflags} 00 40 00 00           ; test dword ptr [rdx + {hflags}], 0x4000
    74 >deliver                          ; jz deliver
    8b 82 {error_code}                   ; mov eax, dword ptr [rdx + {error_code}]
    a8 02                                ; test al, 2
    74 >deliver                          ; jz deliver
    83 e8 02                             ; sub eax, 2
    d1 e8                                ; shr eax
    83 c0 02                             ; add eax, 2
    89 82 {error_code}                   ; mov dword ptr [rdx + {error_code}], eax
deliver:
    48 8d ba {cpu}                       ; lea rdi, [rdx + {cpu}]
    48 b8 [x86_cpu_do_interrupt_x86_64]  ; movabs rax, offset [x86_cpu_do_interrupt_x86_64]
    ff e0                                ; jmp rax
"""

# engine rdi, state rsi
SYSCALL: Final = """
    53                                   ; push rbx
    41 54                                ; push r12
    48 83 ec 08                          ; sub rsp, 8
    48 89 f3                             ; mov rbx, rsi
    f6 83 {efer} 01                      ; test byte ptr [rbx + {efer}], 1
    74 >undefined                        ; jz undefined
    f7 83 {hflags} 00 40 00 00           ; test dword ptr [rbx + {hflags}], 0x4000
    75 >defined                          ; jnz defined
undefined:
    48 89 df                             ; mov rdi, rbx
    be 06 00 00 00                       ; mov esi, 6
    48 b8 [raise_exception_x86_64]       ; movabs rax, offset [raise_exception_x86_64]
    ff d0                                ; call rax
defined:
    4c 8b a3 {rip}                       ; mov r12, qword ptr [rbx + {rip}]
prefix:
    48 89 df                             ; mov rdi, rbx
    4c 89 e6                             ; mov rsi, r12
    48 b8 [cpu_ldub_code_x86_64]         ; movabs rax, offset [cpu_ldub_code_x86_64]
    ff d0                                ; call rax
    49 ff c4                             ; inc r12
    3c 0f                                ; cmp al, 0x0f
    75 >prefix                           ; jne prefix
    49 ff c4                             ; inc r12
    4c 89 a3 {rcx}                       ; mov qword ptr [rbx + {rcx}], r12
    48 89 df                             ; mov rdi, rbx
    48 b8 [helper_read_eflags_x86_64]    ; movabs rax, offset [helper_read_eflags_x86_64]
    ff d0                                ; call rax
    48 89 83 {r11}                       ; mov qword ptr [rbx + {r11}], rax
    48 8b b3 {fmask}                     ; mov rsi, qword ptr [rbx + {fmask}]
    48 f7 d6                             ; not rsi
    48 21 c6                             ; and rsi, rax
    83 ca ff                             ; or edx, -1
    48 89 df                             ; mov rdi, rbx
    48 b8 [helper_write_eflags_x86_64]   ; movabs rax, offset [helper_write_eflags_x86_64]
    ff d0                                ; call rax
    8b 83 {star+4}                       ; mov eax, dword ptr [rbx + {star+4}]
    25 fc ff 00 00                       ; and eax, 0xfffc
    89 83 {cs.selector}                  ; mov dword ptr [rbx + {cs.selector}], eax
    83 c0 08                             ; add eax, 8
    89 83 {ss.selector}                  ; mov dword ptr [rbx + {ss.selector}], eax
    31 c0                                ; xor eax, eax
    48 89 83 {cs.base}                   ; mov qword ptr [rbx + {cs.base}], rax
    48 89 83 {ss.base}                   ; mov qword ptr [rbx + {ss.base}], rax
    83 c8 ff                             ; or eax, -1
    89 83 {cs.limit}                     ; mov dword ptr [rbx + {cs.limit}], eax
    89 83 {ss.limit}                     ; mov dword ptr [rbx + {ss.limit}], eax
    c7 83 {cs.flags} 00 9b af 00         ; mov dword ptr [rbx + {cs.flags}], 0xaf9b00
    c7 83 {ss.flags} 00 93 cf 00         ; mov dword ptr [rbx + {ss.flags}], 0xcf9300
    48 8b 83 {lstar}                     ; mov rax, qword ptr [rbx + {lstar}]
    f7 83 {hflags} 00 80 00 00           ; test dword ptr [rbx + {hflags}], 0x8000
    48 0f 44 83 {cstar}                  ; cmovz rax, qword ptr [rbx + {cstar}]
    4c 29 e0                             ; sub rax, r12
    48 01 83 {rip}                       ; add qword ptr [rbx + {rip}], rax
    83 a3 {hflags} bc                    ; and dword ptr [rbx + {hflags}], -0x44
    81 8b {hflags} 30 80 00 00           ; or dword ptr [rbx + {hflags}], 0x8030
    48 83 c4 08                          ; add rsp, 8
    41 5c                                ; pop r12
    5b                                   ; pop rbx
    c3                                   ; ret
"""

# engine rdi, state rsi; answer eax
RDTSC: Final = """
    53                                   ; push rbx
    48 83 ec 10                          ; sub rsp, 16
    48 89 f3                             ; mov rbx, rsi
    bf 01 00 00 00                       ; mov edi, 1
    48 89 e6                             ; mov rsi, rsp
    48 b8 [clock_gettime]                ; movabs rax, offset [clock_gettime]
    ff d0                                ; call rax
    48 69 04 24 00 ca 9a 3b              ; imul rax, qword ptr [rsp], 1000000000
    48 03 44 24 08                       ; add rax, qword ptr [rsp + 8]
    48 03 83 {tsc_offset}                ; add rax, qword ptr [rbx + {tsc_offset}]
    48 01 c0                             ; add rax, rax
    89 c1                                ; mov ecx, eax
    48 89 8b {rax}                       ; mov qword ptr [rbx + {rax}], rcx
    48 c1 e8 20                          ; shr rax, 32
    48 89 83 {rdx}                       ; mov qword ptr [rbx + {rdx}], rax
    b8 01 00 00 00                       ; mov eax, 1
    48 83 c4 10                          ; add rsp, 16
    5b                                   ; pop rbx
    c3                                   ; ret
"""

RDTSCP: Final = f"""
    8b 86 {{tsc_aux}}                      ; mov eax, dword ptr [rsi + {{tsc_aux}}]
    48 89 86 {{rcx}}                       ; mov qword ptr [rsi + {{rcx}}], rax
{RDTSC}"""

# engine rdi, table rsi; answer eax
CPUID: Final = """
    48 8b 06                             ; mov rax, qword ptr [rsi]
    8b 88 {rax}                          ; mov ecx, dword ptr [rax + {rax}]
    48 83 c6 08                          ; add rsi, 8
next:
    8b 16                                ; mov edx, dword ptr [rsi]
    83 fa ff                             ; cmp edx, -1
    74 >none                             ; je none
    39 ca                                ; cmp edx, ecx
    75 >skip                             ; jne skip
    8b 56 04                             ; mov edx, dword ptr [rsi + 4]
    23 90 {rcx}                          ; and edx, dword ptr [rax + {rcx}]
    74 >found                            ; jz found
skip:
    48 83 c6 18                          ; add rsi, 24
    eb >next                             ; jmp next
found:
    8b 4e 08                             ; mov ecx, dword ptr [rsi + 8]
    48 89 88 {rax}                       ; mov qword ptr [rax + {rax}], rcx
    8b 4e 0c                             ; mov ecx, dword ptr [rsi + 12]
    48 89 88 {rbx}                       ; mov qword ptr [rax + {rbx}], rcx
    8b 4e 10                             ; mov ecx, dword ptr [rsi + 16]
    48 89 88 {rcx}                       ; mov qword ptr [rax + {rcx}], rcx
    8b 4e 14                             ; mov ecx, dword ptr [rsi + 20]
    48 89 88 {rdx}                       ; mov qword ptr [rax + {rdx}], rcx
    b8 01 00 00 00                       ; mov eax, 1
    c3                                   ; ret
none:
    31 c0                                ; xor eax, eax
    c3                                   ; ret
"""

# engine rdi, port esi, size edx, guard rcx; answer eax
READ_PORT: Final = """
    48 8b 01                             ; mov rax, qword ptr [rcx]
    44 8b 80 {hflags}                    ; mov r8d, dword ptr [rax + {hflags}]
    41 83 e0 03                          ; and r8d, 3
    74 >allowed                          ; jz allowed
    44 8b 88 {rflags}                    ; mov r9d, dword ptr [rax + {rflags}]
    41 c1 e9 0c                          ; shr r9d, 12
    41 83 e1 03                          ; and r9d, 3
    45 39 c8                             ; cmp r8d, r9d
    76 >allowed                          ; jbe allowed
    57                                   ; push rdi
    56                                   ; push rsi
    52                                   ; push rdx
    51                                   ; push rcx
    48 83 ec 08                          ; sub rsp, 8
    48 89 c7                             ; mov rdi, rax
    ff 54 d1 08                          ; call qword ptr [rcx + rdx * 8 + 8]
    48 83 c4 08                          ; add rsp, 8
    59                                   ; pop rcx
    5a                                   ; pop rdx
    5e                                   ; pop rsi
    5f                                   ; pop rdi
allowed:
    ff 61 08                             ; jmp qword ptr [rcx + 8]
"""

# engine rdi, port esi, size edx, value ecx, guard r8
WRITE_PORT: Final = """
    49 8b 00                             ; mov rax, qword ptr [r8]
    44 8b 88 {hflags}                    ; mov r9d, dword ptr [rax + {hflags}]
    41 83 e1 03                          ; and r9d, 3
    74 >allowed                          ; jz allowed
    44 8b 90 {rflags}                    ; mov r10d, dword ptr [rax + {rflags}]
    41 c1 ea 0c                          ; shr r10d, 12
    41 83 e2 03                          ; and r10d, 3
    45 39 d1                             ; cmp r9d, r10d
    76 >allowed                          ; jbe allowed
    57                                   ; push rdi
    56                                   ; push rsi
    52                                   ; push rdx
    51                                   ; push rcx
    41 50                                ; push r8
    48 89 c7                             ; mov rdi, rax
    41 ff 54 d0 08                       ; call qword ptr [r8 + rdx * 8 + 8]
    41 58                                ; pop r8
    59                                   ; pop rcx
    5a                                   ; pop rdx
    5e                                   ; pop rsi
    5f                                   ; pop rdi
allowed:
    41 ff 60 08                          ; jmp qword ptr [r8 + 8]
"""
