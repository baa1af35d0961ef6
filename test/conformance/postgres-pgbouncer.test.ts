import { afterAll, describe } from "vitest";
import { hasPgBouncer, PgBouncer } from "../support/pgbouncer.ts";
import { postgresConformance } from "../support/postgres-conformance.ts";

// test/postgres/pooler.test.ts is in every run, on a pooler of its own: this one is a package that no test needs
if (process.env["OMNIBUS_FULL"] === "1" && hasPgBouncer())
  await postgresConformance("postgres behind PgBouncer", {
    through: async (port, user) => {
      const pooler = await PgBouncer.start(port, user);
      afterAll(() => pooler[Symbol.asyncDispose]());
      return pooler.port;
    },
  });
else describe.skipIf(true)("conformance of postgres behind PgBouncer, in the full tier", () => undefined);
