"""The hooks of `shims` as machine code of arm64 hosts (AAPCS64).

Instructions contain offsets in bit fields, so the bytes are those for the offsets of `layout`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# engine x0, vector w1, state x2
DELIVER_EXCEPTION: Final = """
    43 74 41 b9                       ; ldr w3, [x2, #{tr.flags}]
    63 00 78 37                       ; tbnz w3, #15, usable
    03 20 91 52                       ; mov w3, #0x8900
    43 74 01 b9                       ; str w3, [x2, #{tr.flags}]
usable:
    43 0c 55 b9                       ; ldr w3, [x2, #{exception_is_int}]
    23 01 00 34                       ; cbz w3, raised
    23 0c 00 51                       ; sub w3, w1, #3
    7f 08 00 71                       ; cmp w3, #2
    24 00 80 d2                       ; mov x4, #1
    84 34 84 9a                       ; cinc x4, x4, hs
    43 40 40 f9                       ; ldr x3, [x2, #{rip}]
    63 00 04 cb                       ; sub x3, x3, x4
    43 40 00 f9                       ; str x3, [x2, #{rip}]
    0c 00 00 14                       ; b deliver
raised:
    3f 2c 00 71                       ; cmp w1, #11
    24 18 4d 7a                       ; ccmp w1, #13, #4, ne
    21 01 00 54                       ; b.ne deliver
    43 b0 40 b9                       ; ldr w3, [x2, #{hflags}]
    e3 00 70 36                       ; tbz w3, #14, deliver
    43 08 55 b9                       ; ldr w3, [x2, #{error_code}]
    a3 00 08 36                       ; tbz w3, #1, deliver
    63 08 00 51                       ; sub w3, w3, #2
    63 7c 01 53                       ; lsr w3, w3, #1
    63 08 00 11                       ; add w3, w3, #2
    43 08 15 b9                       ; str w3, [x2, #{error_code}]
deliver:
    83 00 00 58                       ; ldr x3, cpu
    40 00 03 8b                       ; add x0, x2, x3
    83 00 00 58                       ; ldr x3, function
    60 00 1f d6                       ; br x3
cpu:
    [cpu]                             ; .quad [cpu]
function:
    [x86_cpu_do_interrupt_x86_64]     ; .quad [x86_cpu_do_interrupt_x86_64]
"""

# engine x0, state x1
SYSCALL: Final = """
    fd 7b be a9                       ; stp x29, x30, [sp, #-32]!
    f3 53 01 a9                       ; stp x19, x20, [sp, #16]
    f3 03 01 aa                       ; mov x19, x1
    62 52 42 b9                       ; ldr w2, [x19, #{efer}]
    62 00 00 36                       ; tbz w2, #0, undefined
    62 b2 40 b9                       ; ldr w2, [x19, #{hflags}]
    a2 00 70 37                       ; tbnz w2, #14, defined
undefined:
    e0 03 13 aa                       ; mov x0, x19
    c1 00 80 52                       ; mov w1, #6
    02 07 00 58                       ; ldr x2, raise
    40 00 3f d6                       ; blr x2
defined:
    74 42 40 f9                       ; ldr x20, [x19, #{rip}]
prefix:
    e0 03 13 aa                       ; mov x0, x19
    e1 03 14 aa                       ; mov x1, x20
    a2 06 00 58                       ; ldr x2, fetch
    40 00 3f d6                       ; blr x2
    94 06 00 91                       ; add x20, x20, #1
    00 1c 00 12                       ; and w0, w0, #0xff
    1f 3c 00 71                       ; cmp w0, #0x0f
    21 ff ff 54                       ; b.ne prefix
    94 06 00 91                       ; add x20, x20, #1
    74 06 00 f9                       ; str x20, [x19, #{rcx}]
    e0 03 13 aa                       ; mov x0, x19
    c2 05 00 58                       ; ldr x2, read_flags
    40 00 3f d6                       ; blr x2
    60 2e 00 f9                       ; str x0, [x19, #{r11}]
    61 7e 49 f9                       ; ldr x1, [x19, #{fmask}]
    01 00 21 8a                       ; bic x1, x0, x1
    02 00 80 12                       ; mov w2, #-1
    e0 03 13 aa                       ; mov x0, x19
    23 05 00 58                       ; ldr x3, write_flags
    60 00 3f d6                       ; blr x3
    60 de 52 b9                       ; ldr w0, [x19, #{star+4}]
    00 34 1e 12                       ; and w0, w0, #0xfffc
    60 d2 00 b9                       ; str w0, [x19, #{cs.selector}]
    00 20 00 11                       ; add w0, w0, #8
    60 ea 00 b9                       ; str w0, [x19, #{ss.selector}]
    7f 6e 00 f9                       ; str xzr, [x19, #{cs.base}]
    7f 7a 00 f9                       ; str xzr, [x19, #{ss.base}]
    00 00 80 12                       ; mov w0, #-1
    60 e2 00 b9                       ; str w0, [x19, #{cs.limit}]
    60 fa 00 b9                       ; str w0, [x19, #{ss.limit}]
    00 60 93 52                       ; mov w0, #0x9b00
    e0 15 a0 72                       ; movk w0, #0xaf, lsl #16
    60 e6 00 b9                       ; str w0, [x19, #{cs.flags}]
    00 60 92 52                       ; mov w0, #0x9300
    e0 19 a0 72                       ; movk w0, #0xcf, lsl #16
    60 fe 00 b9                       ; str w0, [x19, #{ss.flags}]
    61 b2 40 b9                       ; ldr w1, [x19, #{hflags}]
    60 76 49 f9                       ; ldr x0, [x19, #{lstar}]
    62 7a 49 f9                       ; ldr x2, [x19, #{cstar}]
    3f 00 11 72                       ; tst w1, #0x8000
    00 10 82 9a                       ; csel x0, x0, x2, ne
    62 42 40 f9                       ; ldr x2, [x19, #{rip}]
    00 00 14 cb                       ; sub x0, x0, x20
    00 00 02 8b                       ; add x0, x0, x2
    60 42 00 f9                       ; str x0, [x19, #{rip}]
    62 08 80 52                       ; mov w2, #0x43
    21 00 22 0a                       ; bic w1, w1, w2
    02 06 90 52                       ; mov w2, #0x8030
    21 00 02 2a                       ; orr w1, w1, w2
    61 b2 00 b9                       ; str w1, [x19, #{hflags}]
    f3 53 41 a9                       ; ldp x19, x20, [sp, #16]
    fd 7b c2 a8                       ; ldp x29, x30, [sp], #32
    c0 03 5f d6                       ; ret
raise:
    [raise_exception_x86_64]          ; .quad [raise_exception_x86_64]
fetch:
    [cpu_ldub_code_x86_64]            ; .quad [cpu_ldub_code_x86_64]
read_flags:
    [helper_read_eflags_x86_64]       ; .quad [helper_read_eflags_x86_64]
write_flags:
    [helper_write_eflags_x86_64]      ; .quad [helper_write_eflags_x86_64]
"""

# engine x0, state x1; answer w0
RDTSC: Final = """
    fd 7b bd a9                       ; stp x29, x30, [sp, #-48]!
    f3 0b 00 f9                       ; str x19, [sp, #16]
    f3 03 01 aa                       ; mov x19, x1
    20 00 80 52                       ; mov w0, #1
    e1 83 00 91                       ; add x1, sp, #32
    02 02 00 58                       ; ldr x2, function
    40 00 3f d6                       ; blr x2
    e0 07 42 a9                       ; ldp x0, x1, [sp, #32]
    02 40 99 52                       ; mov w2, #0xca00
    42 73 a7 72                       ; movk w2, #0x3b9a, lsl #16
    00 04 02 9b                       ; madd x0, x0, x2, x1
    61 c6 4a f9                       ; ldr x1, [x19, #{tsc_offset}]
    00 00 01 8b                       ; add x0, x0, x1
    01 78 1f 53                       ; lsl w1, w0, #1
    61 02 00 f9                       ; str x1, [x19, #{rax}]
    00 f8 5f d3                       ; ubfx x0, x0, #31, #32
    60 0a 00 f9                       ; str x0, [x19, #{rdx}]
    20 00 80 52                       ; mov w0, #1
    f3 0b 40 f9                       ; ldr x19, [sp, #16]
    fd 7b c3 a8                       ; ldp x29, x30, [sp], #48
    c0 03 5f d6                       ; ret
function:
    [clock_gettime]                   ; .quad [clock_gettime]
"""

RDTSCP: Final = f"""
    22 20 53 b9                       ; ldr w2, [x1, #{{tsc_aux}}]
    22 04 00 f9                       ; str x2, [x1, #{{rcx}}]
{RDTSC}"""

# engine x0, table x1; answer w0
CPUID: Final = """
    22 84 40 f8                       ; ldr x2, [x1], #8
    43 00 40 b9                       ; ldr w3, [x2, #{rax}]
next:
    24 14 40 29                       ; ldp w4, w5, [x1]
    9f 04 00 31                       ; cmn w4, #1
    00 02 00 54                       ; b.eq none
    9f 00 03 6b                       ; cmp w4, w3
    81 00 00 54                       ; b.ne skip
    46 08 40 b9                       ; ldr w6, [x2, #{rcx}]
    bf 00 06 6a                       ; tst w5, w6
    60 00 00 54                       ; b.eq found
skip:
    21 60 00 91                       ; add x1, x1, #24
    f7 ff ff 17                       ; b next
found:
    23 10 41 29                       ; ldp w3, w4, [x1, #8]
    25 18 42 29                       ; ldp w5, w6, [x1, #16]
    43 00 00 f9                       ; str x3, [x2, #{rax}]
    44 0c 00 f9                       ; str x4, [x2, #{rbx}]
    45 04 00 f9                       ; str x5, [x2, #{rcx}]
    46 08 00 f9                       ; str x6, [x2, #{rdx}]
    20 00 80 52                       ; mov w0, #1
    c0 03 5f d6                       ; ret
none:
    00 00 80 52                       ; mov w0, #0
    c0 03 5f d6                       ; ret
"""

# engine x0, port w1, size w2, guard x3; answer w0
READ_PORT: Final = """
    64 00 40 f9                       ; ldr x4, [x3]
    85 b0 40 b9                       ; ldr w5, [x4, #{hflags}]
    a5 04 00 72                       ; ands w5, w5, #3
    e0 01 00 54                       ; b.eq allowed
    86 88 40 b9                       ; ldr w6, [x4, #{rflags}]
    c6 34 0c 53                       ; ubfx w6, w6, #12, #2
    bf 00 06 6b                       ; cmp w5, w6
    69 01 00 54                       ; b.ls allowed
    fd 7b bd a9                       ; stp x29, x30, [sp, #-48]!
    e0 07 01 a9                       ; stp x0, x1, [sp, #16]
    e2 0f 02 a9                       ; stp x2, x3, [sp, #32]
    e0 03 04 aa                       ; mov x0, x4
    64 20 00 91                       ; add x4, x3, #8
    84 58 62 f8                       ; ldr x4, [x4, w2, uxtw #3]
    80 00 3f d6                       ; blr x4
    e2 0f 42 a9                       ; ldp x2, x3, [sp, #32]
    e0 07 41 a9                       ; ldp x0, x1, [sp, #16]
    fd 7b c3 a8                       ; ldp x29, x30, [sp], #48
allowed:
    64 04 40 f9                       ; ldr x4, [x3, #8]
    80 00 1f d6                       ; br x4
"""

# engine x0, port w1, size w2, value w3, guard x4
WRITE_PORT: Final = """
    85 00 40 f9                       ; ldr x5, [x4]
    a6 b0 40 b9                       ; ldr w6, [x5, #{hflags}]
    c6 04 00 72                       ; ands w6, w6, #3
    20 02 00 54                       ; b.eq allowed
    a7 88 40 b9                       ; ldr w7, [x5, #{rflags}]
    e7 34 0c 53                       ; ubfx w7, w7, #12, #2
    df 00 07 6b                       ; cmp w6, w7
    a9 01 00 54                       ; b.ls allowed
    fd 7b bc a9                       ; stp x29, x30, [sp, #-64]!
    e0 07 01 a9                       ; stp x0, x1, [sp, #16]
    e2 0f 02 a9                       ; stp x2, x3, [sp, #32]
    e4 1b 00 f9                       ; str x4, [sp, #48]
    e0 03 05 aa                       ; mov x0, x5
    85 20 00 91                       ; add x5, x4, #8
    a5 58 62 f8                       ; ldr x5, [x5, w2, uxtw #3]
    a0 00 3f d6                       ; blr x5
    e4 1b 40 f9                       ; ldr x4, [sp, #48]
    e2 0f 42 a9                       ; ldp x2, x3, [sp, #32]
    e0 07 41 a9                       ; ldp x0, x1, [sp, #16]
    fd 7b c4 a8                       ; ldp x29, x30, [sp], #64
allowed:
    85 04 40 f9                       ; ldr x5, [x4, #8]
    a0 00 1f d6                       ; br x5
"""
