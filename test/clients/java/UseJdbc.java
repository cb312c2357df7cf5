import com.pgvector.PGbit;
import com.pgvector.PGhalfvec;
import com.pgvector.PGsparsevec;
import com.pgvector.PGvector;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.postgresql.PGConnection;

/** pgjdbc with com.pgvector: parameters as text and, when prepared, as binary; batches, COPY, every operator. */
public class UseJdbc {
    static boolean failed = false;
    static Connection connection;

    /** One line of TAP: is what was got what was expected? */
    static void check(String name, Object got, Object expected) {
        if (expected.equals(got)) {
            System.out.println("ok - " + name);
        } else {
            failed = true;
            System.out.printf("not ok - %s%n#  got:      %s%n#  expected: %s%n", name, got, expected);
        }
    }

    /** The same for numbers, which may differ in the last digits of float4. */
    static void near(String name, List<Double> got, Double... expected) {
        boolean close = got.size() == expected.length
            && IntStream.range(0, expected.length).allMatch(i -> Math.abs(got.get(i) - expected[i]) < 1e-6);
        check(name, close ? Arrays.asList(expected) : got, Arrays.asList(expected));
    }

    static void execute(String sql) throws SQLException {
        connection.createStatement().execute(sql);
    }

    @SuppressWarnings("unchecked")
    static <T> List<T> column(PreparedStatement statement, Object... parameters) throws SQLException {
        for (int i = 0; i < parameters.length; i++) {
            statement.setObject(i + 1, parameters[i]);
        }
        List<T> values = new ArrayList<>();
        try (ResultSet rows = statement.executeQuery()) {
            while (rows.next()) {
                values.add((T) rows.getObject(1));
            }
        }
        return values;
    }

    static double distance(float[] a, float[] b) {
        return IntStream.range(0, a.length).mapToDouble(i -> (a[i] - b[i]) * (a[i] - b[i])).sum();
    }

    static void run() throws Exception {
        Map<String, String> env = System.getenv();
        connection = DriverManager.getConnection(
            "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE"), env.get("PGUSER"), env.get("PGPASSWORD"));
        System.out.println("# pgjdbc " + connection.getMetaData().getDriverVersion() + ", com.pgvector "
            + PGvector.class.getProtectionDomain().getCodeSource().getLocation().getPath().replaceAll(".*/pgvector-|\\.jar$", ""));
        execute("CREATE EXTENSION IF NOT EXISTS vector");
        PGvector.registerTypes(connection);
        execute("CREATE TABLE items (id serial PRIMARY KEY, embedding vector(3), half halfvec(3), bits bit(3), sparse sparsevec(3))");

        float[][] vectors = {{1, 1, 1}, {2, 2, 2}, {1, 1, 2}};
        String[] bits = {"000", "101", "111"};
        PreparedStatement insert = connection.prepareStatement("INSERT INTO items (embedding, half, bits, sparse) VALUES (?, ?, ?, ?)");
        for (int i = 0; i < vectors.length; i++) {
            insert.setObject(1, new PGvector(vectors[i]));
            insert.setObject(2, new PGhalfvec(vectors[i]));
            insert.setObject(3, new PGbit(bits[i]));
            insert.setObject(4, new PGsparsevec(vectors[i]));
            insert.addBatch();
        }
        insert.executeBatch();

        // from the fifth execution on, pgjdbc asks for binary results
        PreparedStatement select = connection.prepareStatement("SELECT embedding, half, sparse FROM items WHERE id = 3");
        for (int i = 1; i <= 7; i++) {
            ResultSet row = select.executeQuery();
            row.next();
            check("values, time " + i, Arrays.asList(row.getObject(1), row.getObject(2), row.getObject(3)),
                Arrays.asList(new PGvector(vectors[2]), new PGhalfvec(vectors[2]), new PGsparsevec(vectors[2])));
        }

        Map<String, Object> first = new LinkedHashMap<>();
        first.put("embedding", new PGvector(vectors[0]));
        first.put("half", new PGhalfvec(vectors[0]));
        first.put("sparse", new PGsparsevec(vectors[0]));
        Map<String, Double[]> distances = new LinkedHashMap<>();
        distances.put("<->", new Double[] {0.0, Math.sqrt(3), 1.0});
        distances.put("<#>", new Double[] {-3.0, -6.0, -4.0});
        distances.put("<=>", new Double[] {0.0, 0.0, 1 - 4 / Math.sqrt(18)});
        distances.put("<+>", new Double[] {0.0, 3.0, 1.0});
        for (String operator : distances.keySet()) {
            for (String name : first.keySet()) {
                near(name + " " + operator,
                    column(connection.prepareStatement("SELECT " + name + " " + operator + " ? FROM items ORDER BY id"), first.get(name)), distances.get(operator));
            }
        }
        near("bits <~>", column(connection.prepareStatement("SELECT bits <~> ? FROM items ORDER BY id"), new PGbit("101")), 2.0, 0.0, 1.0);
        near("bits <%>", column(connection.prepareStatement("SELECT bits <%> ? FROM items ORDER BY id"), new PGbit("101")), 1.0, 0.0, 1.0 / 3);

        float[][] all = new float[1000][8];
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < all.length; i++) {
            for (int j = 0; j < 8; j++) {
                all[i][j] = (float) Math.sin((i * 8 + j) * 12.9898);
            }
            lines.append(i).append('\t').append(new PGvector(all[i])).append('\n');
        }
        execute("CREATE TABLE big (id int, embedding vector(8))");
        long copied = connection.unwrap(PGConnection.class).getCopyAPI()
            .copyIn("COPY big FROM STDIN", new java.io.StringReader(lines.toString()));
        check("COPY", copied, 1000L);
        execute("CREATE INDEX ON big USING hnsw (embedding vector_l2_ops)");
        execute("SET enable_seqscan = off");
        for (int step : new int[] {1, 10}) {
            List<Integer> expected = IntStream.range(0, 1000).filter(i -> i % step == 0).boxed()
                .sorted(Comparator.comparingDouble(i -> distance(all[5], all[i]))).limit(5).toList();
            PreparedStatement search = connection.prepareStatement("SELECT id FROM big WHERE id % " + step + " = 0 ORDER BY embedding <-> ? LIMIT 5");
            for (int i = 0; i < 7; i++) {
                List<Integer> found = column(search, new PGvector(all[5]));
                if (i == 0 || i == 6) {
                    check((step == 1 ? "hnsw" : "filter") + ", time " + (i + 1), found, expected);
                }
            }
        }
    }

    public static void main(String[] arguments) {
        try {
            run();
        } catch (Exception error) {
            failed = true;
            System.out.println("not ok - " + error);
        }
        System.exit(failed ? 1 : 0);
    }
}
