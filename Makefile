# make          installs missing packages (as root, Debian) and builds build/vmshadow
# make demo     two VMs backed up, destroyed, restored, on a throw-away libvirt host
# make check    all tests, on a throw-away libvirt host; see tests/README.md
# make soak     200 backups, one after the other, with what they leave (docs/reliability.md)
# make clean    removes what these have built

.PHONY: all check clean demo soak

all:
	scripts/install-packages
	[ -e build/build.ninja ] || meson setup build
	ninja -C build

demo: all
	demo/run

check:
	tests/run-check

soak: all
	VMSHADOW=$(CURDIR)/build/vmshadow VMSHADOW_TEST_CACHE=$(CURDIR)/build/guest VMSHADOW_TEST_SOAK=200 \
		BATS_TEST_TIMEOUT=7200 tests/host/run bats tests/e2e/61-soak.bats

clean:
	rm -rf build build-check build-check-sanitizers
