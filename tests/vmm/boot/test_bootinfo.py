"""What Python packs is what a C program reads that includes the guest's header."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vmm.hypercall.host_c import compile_c, run_c
from vmm.boot.bootinfo import Bootinfo, pack_regions, unpack_bootinfo, unpack_regions
from vmm.boot.layout import Region

# Reads a bootinfo and the regions behind it; prints every field, in hexadecimal.
READER = r"""
#include <stdio.h>
#include <calypso/abi.h>

#define SHOW(field) printf(#field " %llx\n", (unsigned long long)info.field)

int main(void)
{
	struct calypso_bootinfo info;
	struct calypso_region region;

	if (fread(&info, sizeof(info), 1, stdin) != 1)
		return 1;
	if (info.magic != CALYPSO_BOOTINFO_MAGIC || info.version != CALYPSO_ABI_VERSION
		|| info.size != sizeof(info))
		return 2;
	SHOW(features); SHOW(regions); SHOW(region_count); SHOW(region_capacity);
	SHOW(command_line); SHOW(command_line_length);
	SHOW(device_tree); SHOW(device_tree_length);
	SHOW(arguments); SHOW(arguments_length); SHOW(argc); SHOW(envc);
	SHOW(doorbell); SHOW(counter_hz); SHOW(wall_clock); SHOW(console);
	printf("seed ");
	for (size_t i = 0; i < sizeof(info.seed); i++)
		printf("%02x", info.seed[i]);
	printf("\n");
	SHOW(generation); SHOW(stack_guard);
	SHOW(controller); SHOW(distributor); SHOW(distributor_length);
	SHOW(processor_frames); SHOW(processor_frames_length);
	while (fread(&region, sizeof(region), 1, stdin) == 1)
		printf("region %llx %llx %llx %x %x %.16s\n",
			(unsigned long long)region.physical, (unsigned long long)region.virtual,
			(unsigned long long)region.length, region.type, region.flags, region.name);
	return 0;
}
"""

U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=15)
REGIONS = st.builds(Region, U64, U64, U64, U32, U32, NAMES)
NARROW = {"region_count", "region_capacity", "argc", "envc"}
BOOTINFOS = st.builds(
    Bootinfo,
    *[
        st.binary(min_size=32, max_size=32) if name == "seed" else U32 if name in NARROW else U64
        for name in Bootinfo.__slots__
    ],
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(READER, Path(tmp_path_factory.mktemp("reader")))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(info=BOOTINFOS, regions=st.lists(REGIONS, max_size=4))
def test_c_reads_what_python_wrote(reader: Path, info: Bootinfo, regions: list[Region]) -> None:
    lines = run_c(reader, info.pack() + pack_regions(regions))
    count = len(Bootinfo.__slots__)
    assert lines[:count] == [
        [name, getattr(info, name).hex() if name == "seed" else f"{getattr(info, name):x}"]
        for name in Bootinfo.__slots__
    ]
    assert lines[count:] == [
        ["region", *(f"{n:x}" for n in (r.physical, r.virtual, r.length, r.type, r.flags)), r.name]
        for r in regions
    ]


@given(info=BOOTINFOS, regions=st.lists(REGIONS, max_size=4))
def test_round_trip(info: Bootinfo, regions: list[Region]) -> None:
    assert unpack_bootinfo(info.pack()) == info
    assert unpack_regions(pack_regions(regions)) == regions


@pytest.mark.parametrize(("offset", "problem"), [(0, "magic"), (8, "version"), (12, "of this ABI")])
def test_foreign_bootinfo_is_refused(offset: int, problem: str) -> None:
    fields = [bytes(32) if name == "seed" else 0 for name in Bootinfo.__slots__]
    blob = bytearray(Bootinfo(*fields).pack())
    unpack_bootinfo(bytes(blob))
    blob[offset] ^= 0x80
    with pytest.raises(ValueError, match=problem):
        unpack_bootinfo(bytes(blob))
