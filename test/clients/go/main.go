// pgx with pgvector-go: binary parameters, CopyFrom, arrays, every operator.
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"reflect"
	"runtime/debug"
	"sort"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
	pgxvec "github.com/pgvector/pgvector-go/pgx"
)

var failures int

// check prints one line of TAP: is what was got what was expected?
func check(name string, got, expected any) {
	if reflect.DeepEqual(got, expected) {
		fmt.Println("ok -", name)
		return
	}
	failures++
	fmt.Printf("not ok - %s\n#  got:      %v\n#  expected: %v\n", name, got, expected)
}

// near does the same for numbers, which may differ in the last digits of float4.
func near(name string, got, expected []float64) {
	close := len(got) == len(expected)
	for i := 0; close && i < len(got); i++ {
		close = math.Abs(got[i]-expected[i]) < 1e-6
	}
	if close {
		got = expected
	}
	check(name, got, expected)
}

func must(err error) {
	if err != nil {
		fmt.Println("not ok -", err)
		os.Exit(1)
	}
}

func column[T any](conn *pgx.Conn, query string, args ...any) []T {
	rows, err := conn.Query(context.Background(), query, args...)
	must(err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	must(err)
	return values
}

func distance(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]-b[i]) * float64(a[i]-b[i])
	}
	return sum
}

func main() {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "github.com/jackc/pgx/v5" || dependency.Path == "github.com/pgvector/pgvector-go" {
				fmt.Println("#", dependency.Path, dependency.Version)
			}
		}
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "")
	must(err)
	exec := func(query string, args ...any) {
		_, err := conn.Exec(ctx, query, args...)
		must(err)
	}
	exec("CREATE EXTENSION IF NOT EXISTS vector")
	must(pgxvec.RegisterTypes(ctx, conn))
	exec("CREATE TABLE items (id serial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector(3)[])")

	vectors := [][]float32{{1, 1, 1}, {2, 2, 2}, {1, 1, 2}}
	bits := []string{"000", "101", "111"}
	for i, v := range vectors {
		exec("INSERT INTO items (embedding, half, bits, sparse, many) VALUES ($1, $2, $3::text::bit(3), $4, $5)",
			pgvector.NewVector(v), pgvector.NewHalfVector(v), bits[i], pgvector.NewSparseVector(v), []pgvector.Vector{pgvector.NewVector(v)})
	}

	var vector pgvector.Vector
	var half pgvector.HalfVector
	var sparse pgvector.SparseVector
	var many []pgvector.Vector
	must(conn.QueryRow(ctx, "SELECT embedding, half, sparse, many FROM items WHERE id = 3").Scan(&vector, &half, &sparse, &many))
	check("binary values", [][]float32{vector.Slice(), half.Slice(), sparse.Slice(), many[0].Slice()},
		[][]float32{vectors[2], vectors[2], vectors[2], vectors[2]})

	first := map[string]any{
		"embedding": pgvector.NewVector(vectors[0]), "half": pgvector.NewHalfVector(vectors[0]), "sparse": pgvector.NewSparseVector(vectors[0]),
	}
	distances := map[string][]float64{
		"<->": {0, math.Sqrt(3), 1}, "<#>": {-3, -6, -4}, "<=>": {0, 0, 1 - 4/math.Sqrt(18)}, "<+>": {0, 3, 1},
	}
	for operator, expected := range distances {
		for name, value := range first {
			near(name+" "+operator, column[float64](conn, "SELECT "+name+" "+operator+" $1 FROM items ORDER BY id", value), expected)
		}
	}
	for operator, expected := range map[string][]float64{"<~>": {2, 0, 1}, "<%>": {1, 0, 1.0 / 3}} {
		near("bits "+operator, column[float64](conn, "SELECT bits "+operator+" B'101' FROM items ORDER BY id"), expected)
	}

	var rows [][]any
	var all [][]float32
	for i := range 1000 {
		v := make([]float32, 8)
		for j := range v {
			v[j] = float32(math.Sin(float64(i*8+j) * 12.9898))
		}
		all = append(all, v)
		rows = append(rows, []any{int32(i), pgvector.NewVector(v)})
	}
	exec("CREATE TABLE big (id int, embedding vector(8))")
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"big"}, []string{"id", "embedding"}, pgx.CopyFromRows(rows))
	must(err)
	exec("CREATE INDEX ON big USING hnsw (embedding vector_l2_ops)")
	exec("SET enable_seqscan = off")
	nearest := func(k, step int) (ids []int32) {
		for i := 0; i < len(all); i += step {
			ids = append(ids, int32(i))
		}
		sort.Slice(ids, func(i, j int) bool { return distance(all[5], all[ids[i]]) < distance(all[5], all[ids[j]]) })
		return ids[:k]
	}
	query := pgvector.NewVector(all[5])
	check("CopyFrom and hnsw", column[int32](conn, "SELECT id FROM big ORDER BY embedding <-> $1 LIMIT 5", query), nearest(5, 1))
	check("filter", column[int32](conn, "SELECT id FROM big WHERE id % 10 = 0 ORDER BY embedding <-> $1 LIMIT 5", query), nearest(5, 10))
	check("any of an array", column[int64](conn, "SELECT count(*) FROM big WHERE embedding = ANY ($1)", []pgvector.Vector{query}), []int64{1})
	if failures > 0 {
		os.Exit(1)
	}
}
