import java.io.*;
import java.lang.reflect.Array;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.*;
import javax.tools.*;

/** Runs programs that nobody has read, as runner.py does: compiled together in memory, each in a thread of its own.
 *  In: a line with the seconds and the number of items, then for each item its number of calls and its files' texts,
 *  each in Base64 on a line. Out: a line of JSON. Every item is the package pN with a class Calls and methods callK. */
public class Runner {
    static class Text extends SimpleJavaFileObject {
        final String text;
        Text(String name, String text) {
            super(URI.create("string:///" + name), Kind.SOURCE);
            this.text = text;
        }
        @Override public CharSequence getCharContent(boolean ignore) { return text; }
    }

    static class Memory extends ForwardingJavaFileManager<StandardJavaFileManager> {
        final Map<String, ByteArrayOutputStream> classes = new HashMap<>();
        Memory(StandardJavaFileManager standard) { super(standard); }
        @Override public JavaFileObject getJavaFileForOutput(
                Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
            return new SimpleJavaFileObject(URI.create("memory:///" + name), kind) {
                @Override public OutputStream openOutputStream() {
                    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                    classes.put(name, bytes);
                    return bytes;
                }
            };
        }
    }

    static class Loader extends ClassLoader {
        final Map<String, ByteArrayOutputStream> classes;
        Loader(Map<String, ByteArrayOutputStream> classes) { this.classes = classes; }
        @Override protected Class<?> findClass(String name) throws ClassNotFoundException {
            ByteArrayOutputStream bytes = classes.get(name);
            if (bytes == null) throw new ClassNotFoundException(name);
            return defineClass(name, bytes.toByteArray(), 0, bytes.size());
        }
    }

    record Item(int calls, List<Text> files) {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = System.out;
        System.setOut(new PrintStream(OutputStream.nullOutputStream()));
        System.setErr(System.out);
        for (String head = in.readLine(); head != null; head = in.readLine()) {
            String[] parts = head.split(" ");
            long limit = (long) (Double.parseDouble(parts[0]) * 1000);
            List<Item> items = new ArrayList<>();
            for (int i = 0; i < Integer.parseInt(parts[1]); i++) items.add(read(in, i));
            boolean[] stuck = {false};
            out.println(answer(items, limit, stuck));
            out.flush();
            if (stuck[0]) System.exit(0);  // a program that cannot be stopped goes with this process
        }
    }

    static Item read(BufferedReader in, int number) throws IOException {
        String[] parts = in.readLine().split(" ");
        List<Text> files = new ArrayList<>();
        for (String part : Arrays.asList(parts).subList(1, parts.length)) {
            String text = new String(Base64.getDecoder().decode(part), StandardCharsets.UTF_8);
            files.add(new Text("p" + number + "/F" + files.size() + ".java", "package p" + number + ";" + text));
        }
        return new Item(Integer.parseInt(parts[0]), files);
    }

    static String answer(List<Item> items, long limit, boolean[] stuck) throws Exception {
        Set<Integer> wrong = new HashSet<>();
        Map<String, ByteArrayOutputStream> classes = compiled(items, wrong);
        StringJoiner all = new StringJoiner(",", "[", "]");
        for (int i = 0; i < items.size(); i++) {
            int number = i;
            String[] found = new String[items.get(i).calls()];
            Arrays.fill(found, wrong.contains(i) ? "{\"error\":\"compile\"}" : "{\"error\":\"timeout\"}");
            if (!wrong.contains(i)) {
                Thread thread = new Thread(null, () -> run(number, found, classes), "item", 16 << 20);
                thread.setDaemon(true);
                thread.start();
                thread.join(limit);
                stuck[0] |= thread.isAlive();
            }
            all.add("[" + String.join(",", found) + "]");
        }
        return all.toString();
    }

    /** The classes of all items that compile; the numbers of the others are put into `wrong`. */
    static Map<String, ByteArrayOutputStream> compiled(List<Item> items, Set<Integer> wrong) {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        for (;;) {
            List<Text> files = new ArrayList<>();
            for (int i = 0; i < items.size(); i++) if (!wrong.contains(i)) files.addAll(items.get(i).files());
            Memory memory = new Memory(compiler.getStandardFileManager(null, null, null));
            DiagnosticCollector<JavaFileObject> problems = new DiagnosticCollector<>();
            List<String> options = List.of("-proc:none", "-nowarn", "-Xmaxerrs", "100000");
            if (files.isEmpty() || compiler.getTask(null, memory, problems, options, null, files).call()) {
                return memory.classes;
            }
            int before = wrong.size();
            for (var problem : problems.getDiagnostics()) {
                if (problem.getKind() == Diagnostic.Kind.ERROR && problem.getSource() != null) {
                    wrong.add(Integer.parseInt(problem.getSource().toUri().getPath().substring(2).split("/")[0]));
                }
            }
            if (wrong.size() == before) for (int i = 0; i < items.size(); i++) wrong.add(i);
        }
    }

    static void run(int number, String[] found, Map<String, ByteArrayOutputStream> classes) {
        for (int k = 0; k < found.length; k++) {
            try {
                var call = new Loader(classes).loadClass("p" + number + ".Calls").getDeclaredMethod("call" + k);
                call.setAccessible(true);
                found[k] = "{\"value\":" + json(call.invoke(null)) + "}";
            } catch (java.lang.reflect.InvocationTargetException problem) {
                found[k] = "{\"error\":" + json(problem.getCause().getClass().getSimpleName()) + "}";
            } catch (Throwable problem) {
                found[k] = "{\"error\":" + json(problem.getClass().getSimpleName()) + "}";
            }
        }
    }

    static String json(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean) return String.valueOf(value);
        StringJoiner list = new StringJoiner(",", "[", "]");
        if (value instanceof Map<?, ?> map) {
            StringJoiner entries = new StringJoiner(",", "{", "}");
            map.forEach((key, item) -> entries.add(json(String.valueOf(key)) + ":" + json(item)));
            return entries.toString();
        }
        if (value instanceof Collection<?> items) {
            items.forEach(item -> list.add(json(item)));
            return list.toString();
        }
        if (value.getClass().isArray()) {
            for (int i = 0; i < Array.getLength(value); i++) list.add(json(Array.get(value, i)));
            return list.toString();
        }
        StringBuilder text = new StringBuilder("\"");
        for (char c : String.valueOf(value).toCharArray()) {
            text.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c) : c);
        }
        return text.append('"').toString();
    }
}
