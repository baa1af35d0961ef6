#!/usr/bin/env node
import { connect } from "../index.ts";
import { run } from "./run.ts";
import { processTerminal } from "./terminal.ts";

process.exitCode = await run(process.argv.slice(2), processTerminal(), connect);
