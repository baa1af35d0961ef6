#!/usr/bin/env node
import { connect } from "../index.ts";
import { quietWarnings } from "./quiet-warnings.ts";
import { run } from "./run.ts";
import { processTerminal } from "./terminal.ts";

quietWarnings(process);
process.exitCode = await run(process.argv.slice(2), processTerminal(), connect);
