/** Writes docs/postgres-schema.sql, for those who make the PostgreSQL driver's tables by hand. */
import { writeFileSync } from "node:fs";
import { schemaFile } from "../src/drivers/postgres/migrate.ts";
import { Names } from "../src/drivers/postgres/names.ts";

writeFileSync("docs/postgres-schema.sql", schemaFile(new Names("public", "omnibus")));
