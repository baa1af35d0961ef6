import { postgresConformance } from "../support/postgres-conformance.ts";

await postgresConformance("postgres");
