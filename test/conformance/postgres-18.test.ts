import { describe } from "vitest";
import { postgresConformance } from "../support/postgres-conformance.ts";

// the release before is in every run; what differs between them is the server's, and seldom ours
if (process.env["OMNIBUS_FULL"] === "1") await postgresConformance("postgres 18", { release: "18" });
else describe.skipIf(true)("postgres 18 conformance, in the full tier", () => undefined);
