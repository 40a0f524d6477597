# make          installs missing packages (as root, Debian) and builds build/vmshadow
# make demo     two VMs backed up, destroyed, restored, on a throw-away libvirt host
# make check    all tests, on a throw-away libvirt host; see tests/README.md
# make check-slow  the same, and what takes too long for that (tests/README.md)
# make soak     200 backups, one after the other, with what they leave (docs/reliability.md)
# make install  puts program, man pages and completion where they belong: PREFIX (/usr/local),
#               BINDIR, DATADIR, MANDIR (below PREFIX), DESTDIR (put before all of them); the configuration is in /etc
# make deb      a Debian package in build/deb/
# make clean    removes what these have built

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
DATADIR = $(PREFIX)/share
MANDIR = $(DATADIR)/man

.PHONY: all check check-slow clean deb demo install soak

all:
	scripts/install-packages
	[ -e build/build.ninja ] || meson setup build
	ninja -C build

demo: all
	demo/run

check:
	tests/run-check

check-slow:
	VMSHADOW_TEST_ALL=1 VMSHADOW_TEST_LIMIT=1800 VMSHADOW_TEST_FILE_LIMIT=5400 tests/run-check

soak: all
	VMSHADOW=$(CURDIR)/build/vmshadow VMSHADOW_TEST_CACHE=$(CURDIR)/build/guest VMSHADOW_TEST_SOAK=200 \
		BATS_TEST_TIMEOUT=7200 tests/host/run bats tests/e2e/61-soak.bats

install: all
	meson configure build --prefix='$(PREFIX)' --bindir='$(BINDIR)' --datadir='$(DATADIR)' --mandir='$(MANDIR)' \
		--sysconfdir=/etc
	DESTDIR='$(DESTDIR)' meson install -C build

deb:
	scripts/install-packages
	packaging/build-deb build/deb

clean:
	rm -rf build build-check build-check-sanitizers
