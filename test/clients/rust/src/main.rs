//! postgres with pgvector: binary parameters, arrays, COPY BINARY, every operator.

use half::f16;
use pgvector::{Bit, HalfVector, SparseVector, Vector};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{Kind, ToSql, Type};
use postgres::{Client, NoTls};
use std::env::var;
use std::fmt::Debug;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What was checked, and whether all of it held.
struct Checks {
    failed: bool,
}

impl Checks {
    /// One line of TAP: is what was got what was expected?
    fn check<T: PartialEq + Debug>(&mut self, name: &str, got: T, expected: T) {
        if got == expected {
            println!("ok - {name}");
        } else {
            self.failed = true;
            println!("not ok - {name}\n#  got:      {got:?}\n#  expected: {expected:?}");
        }
    }

    /// The same for numbers, which may differ in the last digits of float4.
    fn near(&mut self, name: &str, got: Vec<f64>, expected: &[f64]) {
        let close = got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        self.check(name, if close { expected.to_vec() } else { got }, expected.to_vec());
    }
}

fn halves(v: &[f32]) -> Vec<f16> {
    v.iter().map(|x| f16::from_f32(*x)).collect()
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| ((x - y) as f64).powi(2)).sum()
}

fn run(checks: &mut Checks) -> Outcome<()> {
    let mut client = Client::connect(
        &format!("host={} port={} user={} password={} dbname={}", var("PGHOST")?, var("PGPORT")?, var("PGUSER")?, var("PGPASSWORD")?, var("PGDATABASE")?),
        NoTls,
    )?;
    client.batch_execute(
        "CREATE EXTENSION IF NOT EXISTS vector;
         CREATE TABLE items (id serial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3), many vector(3)[])",
    )?;

    let vectors: [Vec<f32>; 3] = [vec![1., 1., 1.], vec![2., 2., 2.], vec![1., 1., 2.]];
    let bits = [[false, false, false], [true, false, true], [true, true, true]];
    for (v, b) in vectors.iter().zip(&bits) {
        client.execute(
            "INSERT INTO items (embedding, half, bits, sparse, many) VALUES ($1, $2, $3, $4, $5)",
            &[&Vector::from(v.clone()), &HalfVector::from(halves(v)), &Bit::new(b), &SparseVector::from_dense(v), &vec![Vector::from(v.clone())]],
        )?;
    }
    let row = client.query_one("SELECT embedding, half, sparse, many FROM items WHERE id = 3", &[])?;
    checks.check("vector", row.get::<_, Vector>(0).to_vec(), vectors[2].clone());
    checks.check("halfvec", row.get::<_, HalfVector>(1).to_vec(), halves(&vectors[2]));
    checks.check("sparsevec", row.get::<_, SparseVector>(2).to_vec(), vectors[2].clone());
    checks.check("vector[]", row.get::<_, Vec<Vector>>(3).len(), 1);

    let distances: [(&str, [f64; 3]); 4] =
        [("<->", [0., 3f64.sqrt(), 1.]), ("<#>", [-3., -6., -4.]), ("<=>", [0., 0., 1. - 4. / 18f64.sqrt()]), ("<+>", [0., 3., 1.])];
    let vector = Vector::from(vectors[0].clone());
    let half = HalfVector::from(halves(&vectors[0]));
    let sparse = SparseVector::from_dense(&vectors[0]);
    let bit = Bit::new(&[true, false, true]);
    let firsts: [(&str, &(dyn ToSql + Sync)); 3] = [("embedding", &vector), ("half", &half), ("sparse", &sparse)];
    let mut distance = |column: &str, operator: &str, value: &(dyn ToSql + Sync)| -> Outcome<Vec<f64>> {
        let rows = client.query(&format!("SELECT {column} {operator} $1 FROM items ORDER BY id"), &[value])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    for (operator, expected) in &distances {
        for (column, value) in &firsts {
            checks.near(&format!("{column} {operator}"), distance(column, operator, *value)?, expected);
        }
    }
    for (operator, expected) in [("<~>", [2., 0., 1.]), ("<%>", [1., 0., 1. / 3.])] {
        checks.near(&format!("bits {operator}"), distance("bits", operator, &bit)?, &expected);
    }

    let all: Vec<Vec<f32>> = (0..1000).map(|i| (0..8).map(|j| ((i * 8 + j) as f64 * 12.9898).sin() as f32).collect()).collect();
    client.batch_execute("CREATE TABLE big (id int, embedding vector(8))")?;
    let row = client.query_one("SELECT oid FROM pg_type WHERE typname = $1", &[&"vector"])?;
    let vector_type = Type::new("vector".into(), row.get(0), Kind::Simple, "public".into());
    let mut copy = BinaryCopyInWriter::new(client.copy_in("COPY big FROM STDIN WITH (FORMAT BINARY)")?, &[Type::INT4, vector_type]);
    for (i, v) in all.iter().enumerate() {
        copy.write(&[&(i as i32), &Vector::from(v.clone())])?;
    }
    checks.check("COPY BINARY", copy.finish()?, 1000);
    client.batch_execute("CREATE INDEX ON big USING hnsw (embedding vector_l2_ops); SET enable_seqscan = off")?;
    let query = Vector::from(all[5].clone());
    for (name, condition, step) in [("hnsw", "true", 1), ("filter", "id % 10 = 0", 10)] {
        let mut expected: Vec<i32> = (0..1000).step_by(step).collect();
        expected.sort_by(|a, b| squared(&all[5], &all[*a as usize]).total_cmp(&squared(&all[5], &all[*b as usize])));
        expected.truncate(5);
        let rows = client.query(&format!("SELECT id FROM big WHERE {condition} ORDER BY embedding <-> $1 LIMIT 5"), &[&query])?;
        checks.check(name, rows.iter().map(|row| row.get(0)).collect(), expected);
    }
    Ok(())
}

fn main() {
    println!("# postgres 0.19.14, pgvector 0.4.2");
    let mut checks = Checks { failed: false };
    if let Err(error) = run(&mut checks) {
        println!("not ok - {error:?}");
        checks.failed = true;
    }
    std::process::exit(checks.failed.into());
}
