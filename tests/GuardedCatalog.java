import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.spark.sql.catalyst.analysis.NamespaceAlreadyExistsException;
import org.apache.spark.sql.catalyst.analysis.NoSuchNamespaceException;
import org.apache.spark.sql.catalyst.analysis.NoSuchTableException;
import org.apache.spark.sql.catalyst.analysis.NonEmptyNamespaceException;
import org.apache.spark.sql.catalyst.analysis.TableAlreadyExistsException;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.connector.catalog.*;
import org.apache.spark.sql.connector.expressions.Transform;
import org.apache.spark.sql.util.CaseInsensitiveStringMap;

/**
 * A second catalog of Delta tables: schemas of spark_catalog whose names begin with this catalog's name.
 *
 * The option "denied" names a file. For each of its lines, such as USE SCHEMA on Schema 'main.bronze', the
 * catalog refuses what needs the right, in Unity Catalog's words.
 */
public class GuardedCatalog implements StagingTableCatalog, SupportsNamespaces {
  private String name;
  private Path denied;

  public static class UnauthorizedAccessException extends RuntimeException {
    UnauthorizedAccessException(String right) {
      super("[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have " + right + ". SQLSTATE: 42501");
    }
  }

  @Override public void initialize(String name, CaseInsensitiveStringMap options) {
    this.name = name;
    denied = options.get("denied") == null ? null : Path.of(options.get("denied"));
  }

  @Override public String name() { return name; }

  private CatalogPlugin delta() {
    return SparkSession.active().sessionState().catalogManager().catalog("spark_catalog");
  }

  private StagingTableCatalog tables() { return (StagingTableCatalog) delta(); }

  private SupportsNamespaces schemas() { return (SupportsNamespaces) delta(); }

  private void need(String right, String kind, String object) {
    String line = right + " on " + kind + " '" + object + "'";
    try {
      if (denied != null && Files.exists(denied))
        for (String one : Files.readAllLines(denied))
          if (one.equalsIgnoreCase(line)) throw new UnauthorizedAccessException(line);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private String[] schema(String[] namespace) {
    need("USE CATALOG", "Catalog", name);
    if (namespace.length == 0) return namespace;
    return new String[] {name + "__" + namespace[0]};
  }

  private String[] usable(String[] namespace) {
    String[] found = schema(namespace);
    need("USE SCHEMA", "Schema", name + "." + String.join(".", namespace));
    return found;
  }

  private Identifier table(Identifier ident) {
    return Identifier.of(usable(ident.namespace()), ident.name());
  }

  private Identifier table(Identifier ident, String right) {
    Identifier found = table(ident);
    need(right, "Table", name + "." + String.join(".", ident.namespace()) + "." + ident.name());
    return found;
  }

  private Identifier created(Identifier ident) {
    Identifier found = table(ident);
    need("CREATE TABLE", "Schema", name + "." + String.join(".", ident.namespace()));
    return found;
  }

  @Override public Set<TableCatalogCapability> capabilities() { return tables().capabilities(); }

  @Override public Identifier[] listTables(String[] namespace) throws NoSuchNamespaceException {
    List<Identifier> found = new ArrayList<>();
    for (Identifier one : tables().listTables(usable(namespace))) found.add(Identifier.of(namespace, one.name()));
    return found.toArray(new Identifier[0]);
  }

  @Override public boolean tableExists(Identifier ident) { return tables().tableExists(table(ident)); }

  @Override public Table loadTable(Identifier ident) throws NoSuchTableException {
    return tables().loadTable(table(ident, "SELECT"));
  }

  @Override public Table loadTable(Identifier ident, Set<TableWritePrivilege> rights) throws NoSuchTableException {
    return tables().loadTable(table(ident, "MODIFY"));
  }

  @Override public Table loadTable(Identifier ident, String version) throws NoSuchTableException {
    return tables().loadTable(table(ident, "SELECT"), version);
  }

  @Override public Table loadTable(Identifier ident, long timestamp) throws NoSuchTableException {
    return tables().loadTable(table(ident, "SELECT"), timestamp);
  }

  @Override public void invalidateTable(Identifier ident) { tables().invalidateTable(table(ident)); }

  @Override public Table createTable(Identifier ident, Column[] columns, Transform[] parts, Map<String, String> properties)
      throws TableAlreadyExistsException, NoSuchNamespaceException {
    return tables().createTable(created(ident), columns, parts, properties);
  }

  @Override public StagedTable stageCreate(Identifier ident, Column[] columns, Transform[] parts, Map<String, String> properties)
      throws TableAlreadyExistsException, NoSuchNamespaceException {
    return tables().stageCreate(created(ident), columns, parts, properties);
  }

  @Override public StagedTable stageReplace(Identifier ident, Column[] columns, Transform[] parts, Map<String, String> properties)
      throws NoSuchNamespaceException, NoSuchTableException {
    return tables().stageReplace(table(ident, "MODIFY"), columns, parts, properties);
  }

  @Override public StagedTable stageCreateOrReplace(
      Identifier ident, Column[] columns, Transform[] parts, Map<String, String> properties) throws NoSuchNamespaceException {
    Identifier found = tableExists(ident) ? table(ident, "MODIFY") : created(ident);
    return tables().stageCreateOrReplace(found, columns, parts, properties);
  }

  @Override public Table alterTable(Identifier ident, TableChange... changes) throws NoSuchTableException {
    return tables().alterTable(table(ident, "MODIFY"), changes);
  }

  @Override public boolean dropTable(Identifier ident) { return tables().dropTable(table(ident)); }

  @Override public void renameTable(Identifier from, Identifier to) throws NoSuchTableException, TableAlreadyExistsException {
    tables().renameTable(table(from), table(to));
  }

  @Override public String[][] listNamespaces() throws NoSuchNamespaceException {
    need("USE CATALOG", "Catalog", name);
    List<String[]> found = new ArrayList<>();
    for (String[] one : schemas().listNamespaces())
      if (one[0].startsWith(name + "__")) found.add(new String[] {one[0].substring(name.length() + 2)});
    return found.toArray(new String[0][]);
  }

  @Override public String[][] listNamespaces(String[] namespace) throws NoSuchNamespaceException {
    if (namespace.length == 0) return listNamespaces();
    return new String[0][];
  }

  @Override public boolean namespaceExists(String[] namespace) { return schemas().namespaceExists(schema(namespace)); }

  @Override public Map<String, String> loadNamespaceMetadata(String[] namespace) throws NoSuchNamespaceException {
    return schemas().loadNamespaceMetadata(schema(namespace));
  }

  @Override public void createNamespace(String[] namespace, Map<String, String> properties) throws NamespaceAlreadyExistsException {
    String[] found = schema(namespace);
    need("CREATE SCHEMA", "Catalog", name);
    schemas().createNamespace(found, properties);
  }

  @Override public void alterNamespace(String[] namespace, NamespaceChange... changes) throws NoSuchNamespaceException {
    schemas().alterNamespace(schema(namespace), changes);
  }

  @Override public boolean dropNamespace(String[] namespace, boolean cascade)
      throws NoSuchNamespaceException, NonEmptyNamespaceException {
    return schemas().dropNamespace(schema(namespace), cascade);
  }
}
