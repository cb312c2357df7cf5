/*
 * fuzz_recv.c
 *	  Binary input: what a type accepts it must send back byte for byte.
 *
 * Links the types themselves; the few things of PostgreSQL that binary input
 * and output call are here, in their simplest form: an error jumps out, and
 * memory is freed after each run.  The first byte of the data chooses the
 * type, the second the type modifier.
 */
#include "postgres.h"

#include <setjmp.h>

#include "fmgr.h"
#include "libpq/pqformat.h"

#include "kernels/kernels.h"

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern int	LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

extern Datum ann_vector_recv(PG_FUNCTION_ARGS);
extern Datum ann_vector_send(PG_FUNCTION_ARGS);
extern Datum ann_halfvec_recv(PG_FUNCTION_ARGS);
extern Datum ann_halfvec_send(PG_FUNCTION_ARGS);
extern Datum ann_sparsevec_recv(PG_FUNCTION_ARGS);
extern Datum ann_sparsevec_send(PG_FUNCTION_ARGS);

static const struct
{
	PGFunction	recv;
	PGFunction	send;
}			types[] = {
	{ann_vector_recv, ann_vector_send},
	{ann_halfvec_recv, ann_halfvec_send},
	{ann_sparsevec_recv, ann_sparsevec_send}
};

static jmp_buf on_error;

/* Errors */

bool
errstart(int elevel, const char *domain)
{
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return true;
}

int
errcode(int sqlerrcode)
{
	return 0;
}

int
errmsg(const char *fmt,...)
{
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	longjmp(on_error, 1);
}

/* Memory: a chain of chunks */

static void *chunks;

void *
palloc(Size size)
{
	void	  **chunk = malloc(sizeof(void *) * 2 + size);

	chunk[0] = chunks;
	chunks = chunk;
	return chunk + 2;
}

static void
free_all(void)
{
	while (chunks != NULL)
	{
		void	   *next = *(void **) chunks;

		free(chunks);
		chunks = next;
	}
}

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

/* Messages */

const char *
pq_getmsgbytes(StringInfo msg, int datalen)
{
	const char *bytes = msg->data + msg->cursor;

	if (datalen < 0 || datalen > msg->len - msg->cursor)
		longjmp(on_error, 1);
	msg->cursor += datalen;
	return bytes;
}

unsigned int
pq_getmsgint(StringInfo msg, int width)
{
	const uint8 *bytes = (const uint8 *) pq_getmsgbytes(msg, width);
	unsigned int value = 0;

	for (int i = 0; i < width; i++)
		value = value << 8 | bytes[i];
	return value;
}

void
pq_begintypsend(StringInfo buf)
{
	buf->maxlen = 1024 * 1024;
	buf->data = palloc(buf->maxlen);
	buf->len = 0;
	buf->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	if (str->len + needed >= str->maxlen)
		abort();
}

/* Leaves out the varlena header, which is not part of the message. */
bytea *
pq_endtypsend(StringInfo buf)
{
	return (bytea *) buf;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	ann_simd_select(ANN_SIMD_AUTO);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	LOCAL_FCINFO(fcinfo, 3);
	StringInfoData message = {0};
	int			type;

	if (size < 2)
		return 0;

	type = data[0] % lengthof(types);
	if (setjmp(on_error) == 0)
	{
		bytea	   *sent;

		/* A copy of its own, so that reading past it shows. */
		message.len = size - 2;
		message.data = malloc(message.len + 1);
		memcpy(message.data, data + 2, message.len);

		InitFunctionCallInfoData(*fcinfo, NULL, 3, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = PointerGetDatum(&message);
		fcinfo->args[2].value = Int32GetDatum(data[1] % 2 ? -1 : data[1]);
		fcinfo->args[0].value = types[type].recv(fcinfo);

		sent = (bytea *) DatumGetPointer(types[type].send(fcinfo));
		if (((StringInfo) sent)->len != message.cursor ||
			memcmp(((StringInfo) sent)->data, message.data, message.cursor) != 0)
			abort();
	}

	free(message.data);
	free_all();
	return 0;
}
