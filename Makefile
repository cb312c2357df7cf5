EXTENSION = ann
MODULE_big = ann
DATA_built = build/ann--1.0.sql
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
SOURCE_HEADERS = $(wildcard src/*.h src/*/*.h)

PG_CPPFLAGS = -I$(srcdir)/src
# Only what ANN_EXPORT marks leaves the module: another module loaded in the
# same backend may well define an hnswinsert of its own.
PG_CFLAGS = -fvisibility=hidden
SHLIB_LINK = -lm

# Points at which tests stop a session: src/am/am_point.h.
ifdef ANN_DEBUG_POINTS
PG_CPPFLAGS += -DANN_DEBUG_POINTS
endif

REGRESS = $(patsubst sql/%.sql,%,$(sort $(filter-out sql/ann--%,$(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=. --load-extension=ann
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --load-extension=ann
TAP_TESTS = 1

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS knows no header dependencies on a distribution's server.
$(OBJS): $(SOURCE_HEADERS)

# Loops over dimensions that no kernel is worth.
src/space/rabitq.o src/space/space.o: CFLAGS += $(CFLAGS_VECTORIZE)

# The script of an extension is made from its commands.
build/%.sql: sql/%.sql install/create.sql install/scripts.sh
	$(MKDIR_P) build
	sh $(srcdir)/install/scripts.sh create $(EXTENSION) <$< >$@

# The same extension under the name of pgvector, for what says CREATE EXTENSION
# vector: install/vector.sh.
.PHONY: install-vector uninstall-vector
install-vector: install
	sh $(srcdir)/install/vector.sh install '$(DESTDIR)$(datadir)/extension'

uninstall-vector:
	sh $(srcdir)/install/vector.sh uninstall '$(DESTDIR)$(datadir)/extension'
