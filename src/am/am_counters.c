/*
 * am_counters.c
 *	  What this session has counted, and how SQL sees it.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/hsearch.h"

#include "am/am_counters.h"
#include "compat.h"

typedef struct SessionEntry
{
	Oid			index;			/* key */
	AnnCounters counters;
} SessionEntry;

static HTAB *session = NULL;

/* The scan that ended last. */
static SessionEntry last;

AnnCounters *
AnnSessionCounters(Oid index)
{
	SessionEntry *entry;
	bool		found;

	if (session == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(SessionEntry)};

		session = hash_create("ann counters", 16, &control, HASH_ELEM | HASH_BLOBS);
	}

	entry = hash_search(session, &index, HASH_ENTER, &found);
	if (!found)
		memset(&entry->counters, 0, sizeof(AnnCounters));
	return &entry->counters;
}

void
AnnCountScan(Oid index, const AnnCounters *counters)
{
	AnnCounters *sum = AnnSessionCounters(index);

	sum->scans += counters->scans;
	sum->returned += counters->returned;
	sum->scored += counters->scored;
	sum->reranked += counters->reranked;
	sum->pages += counters->pages;
	sum->table_pages += counters->table_pages;
	sum->rounds += counters->rounds;
	sum->full_reads += counters->full_reads;

	last.index = index;
	last.counters = *counters;
}

/* Columns of ann_session_counters; ann_last_scan has the first of them. */
#define SESSION_COLUMNS 11
#define SCAN_COLUMNS 9

static void
put_entry(ReturnSetInfo *rsinfo, const SessionEntry *entry)
{
	const AnnCounters *counters = &entry->counters;
	Datum		values[SESSION_COLUMNS] = {
		ObjectIdGetDatum(entry->index),
		Int64GetDatum(counters->scans),
		Int64GetDatum(counters->returned),
		Int64GetDatum(counters->scored),
		Int64GetDatum(counters->reranked),
		Int64GetDatum(counters->pages),
		Int64GetDatum(counters->table_pages),
		Int64GetDatum(counters->rounds),
		Int64GetDatum(counters->full_reads),
		Int64GetDatum(counters->inserts),
		Int64GetDatum(counters->splits)
	};
	bool		isnull[SESSION_COLUMNS] = {false};

	Assert(rsinfo->setDesc->natts == SCAN_COLUMNS || rsinfo->setDesc->natts == SESSION_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/* ann_last_scan() returns table (index regclass, scans bigint, ...): one row, or none */
ANN_FUNCTION(ann_last_scan)
{
	InitMaterializedSRF(fcinfo, 0);
	if (OidIsValid(last.index))
		put_entry((ReturnSetInfo *) fcinfo->resultinfo, &last);
	PG_RETURN_NULL();
}

/* ann_session_counters() returns table (index regclass, scans bigint, ...) */
ANN_FUNCTION(ann_session_counters)
{
	HASH_SEQ_STATUS status;
	SessionEntry *entry;

	InitMaterializedSRF(fcinfo, 0);
	if (session != NULL)
	{
		hash_seq_init(&status, session);
		while ((entry = hash_seq_search(&status)) != NULL)
			put_entry((ReturnSetInfo *) fcinfo->resultinfo, entry);
	}
	PG_RETURN_NULL();
}
