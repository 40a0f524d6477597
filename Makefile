# make          installs missing packages (as root, Debian) and builds build/vmshadow
# make demo     two VMs backed up, destroyed, restored, on a throw-away libvirt host
# make check    all tests, on a throw-away libvirt host; see tests/README.md
# make clean    removes what these have built

.PHONY: all check clean demo

all:
	scripts/install-packages
	[ -e build/build.ninja ] || meson setup build
	ninja -C build

demo: all
	demo/run

check:
	tests/run-check

clean:
	rm -rf build build-check build-check-sanitizers
