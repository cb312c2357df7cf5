--
-- COPY, text and binary, there and back; and binary input that is wrong
--
\pset null <NULL>
CREATE TABLE copied (v vector(3), h halfvec(3), s sparsevec(3), va vector[], b bit(3));
INSERT INTO copied VALUES
	('[0,0,0]', '[0,0,0]', '{}/3', '{"[1,2]","[3]"}', '000'),
	('[1.5,-2,3e-10]', '[1.5,-2,6e-8]', '{1:1.5,3:-2}/3', '{}', '101'),
	(NULL, NULL, NULL, NULL, NULL);

CREATE TABLE back (LIKE copied);
\copy copied TO 'results/types_copy.txt'
\copy back FROM 'results/types_copy.txt'
SELECT * FROM back;
TRUNCATE back;
\copy copied TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy back FROM 'results/types_copy.bin' WITH (FORMAT binary)
SELECT * FROM back;
DROP TABLE copied, back;

-- What the binary input of a type makes of a message: a bytea copied out and
-- copied in as if it had been one of its values.  Each error is shown twice,
-- once as its SQLSTATE.
CREATE TABLE wire_vector (v vector(3));
CREATE TABLE wire_halfvec (v halfvec(3));
CREATE TABLE wire_sparsevec (v sparsevec(3));

--
-- vector: int16 dimensions, int16 zero, elements
--

-- good
\copy (SELECT '\x000300003f8000004000000040400000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)

-- too long
\copy (SELECT '\x000300003f800000400000004040000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too short
\copy (SELECT '\x000300003f80000040000000404000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- no elements at all
\copy (SELECT '\x0003'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- nothing
\copy (SELECT '\x'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- not the dimensions of the column
\copy (SELECT '\x000200003f80000040000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- no dimensions
\copy (SELECT '\x00000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative dimensions
\copy (SELECT '\xffff00003f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- 16001 dimensions
\copy (SELECT '\x3e8100003f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- reserved word in use
\copy (SELECT '\x000300013f8000004000000040400000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- NaN
\copy (SELECT '\x000300003f8000007fc0000040400000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- infinity
\copy (SELECT '\x000300003f80000040000000ff800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_vector FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

--
-- halfvec: int16 dimensions, int16 zero, elements
--

-- good
\copy (SELECT '\x000300003c0040004200'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)

-- too long
\copy (SELECT '\x000300003c004000420000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too short
\copy (SELECT '\x000300003c00400042'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- no elements at all
\copy (SELECT '\x0003'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- nothing
\copy (SELECT '\x'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- not the dimensions of the column
\copy (SELECT '\x000200003c004000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- no dimensions
\copy (SELECT '\x00000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative dimensions
\copy (SELECT '\xffff00003c00'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- 16001 dimensions
\copy (SELECT '\x3e8100003c00'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- reserved word in use
\copy (SELECT '\x000300013c0040004200'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- NaN
\copy (SELECT '\x000300003c007e004200'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- infinity
\copy (SELECT '\x000300003c004000fc00'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_halfvec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

--
-- sparsevec: int32 dimensions, int32 elements, int32 zero, indices from 0, values
--

-- good
\copy (SELECT '\x00000003000000020000000000000000000000023f80000040000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)

-- empty
\copy (SELECT '\x000000030000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)

-- too long
\copy (SELECT '\x00000003000000020000000000000000000000023f8000004000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too short for the values
\copy (SELECT '\x00000003000000020000000000000000000000023f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too short for the indices
\copy (SELECT '\x00000003000000020000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too short for the header
\copy (SELECT '\x00000003'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- not the dimensions of the column
\copy (SELECT '\x000000020000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- no dimensions
\copy (SELECT '\x000000000000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative dimensions
\copy (SELECT '\xffffffff0000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too many dimensions
\copy (SELECT '\x3b9aca010000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative number of elements
\copy (SELECT '\x00000003ffffffff00000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- more elements than dimensions
\copy (SELECT '\x000000030000000400000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- too many elements
\copy (SELECT '\x00003e8100003e8100000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- reserved word in use
\copy (SELECT '\x000000030000000100000001000000003f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- index too large
\copy (SELECT '\x000000030000000100000000000000033f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative index
\copy (SELECT '\x000000030000000100000000ffffffff3f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- index twice
\copy (SELECT '\x00000003000000020000000000000001000000013f8000003f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- indices descend
\copy (SELECT '\x00000003000000020000000000000002000000013f8000003f800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- NaN
\copy (SELECT '\x000000030000000100000000000000007fc00000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- infinity
\copy (SELECT '\x00000003000000010000000000000000ff800000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- zero
\copy (SELECT '\x0000000300000001000000000000000000000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

-- negative zero
\copy (SELECT '\x0000000300000001000000000000000080000000'::bytea) TO 'results/types_copy.bin' WITH (FORMAT binary)
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY sqlstate
\copy wire_sparsevec FROM 'results/types_copy.bin' WITH (FORMAT binary)
\set VERBOSITY default

SELECT * FROM wire_vector;
SELECT * FROM wire_halfvec;
SELECT * FROM wire_sparsevec;
DROP TABLE wire_vector, wire_halfvec, wire_sparsevec;
