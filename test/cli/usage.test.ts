import { describe, expect, it } from "vitest";
import { inProcess } from "./in-process.ts";
import { cli, temporaryBus } from "./run-cli.ts";

const url = ["--url", "sqlite:./never-made.db"];

describe("wrong use of the command line", () => {
  it.each([
    ["no url", ["streams"], "Give --url <url> or set OMNIBUS_URL"],
    ["an unknown command", ["stream", ...url], "unknown command 'stream' (Did you mean streams?)"],
    ["an unknown option", ["streams", "--jsno", ...url], "unknown option '--jsno' (Did you mean --json?)"],
    ["--json and --table", ["streams", "--json", "--table", ...url], "--json and --table exclude each other."],
    [
      "a replay of -1",
      ["dead-letters", "replay", "--all", "--limit", "-1", ...url],
      "argument '-1' is invalid. It must be a whole number from 1.",
    ],
    ["a replay of nothing", ["dead-letters", "replay", ...url], "Give an id, a filter such as --group, or --all."],
    [
      "a replay of several with one's data",
      ["dead-letters", "replay", "--all", "--data", "{}", ...url],
      "--data is for one dead letter",
    ],
    ["a dead letter without an id", ["dead-letters", "show", ...url], "missing required argument 'id'"],
    ["discarding all without --yes", ["dead-letters", "discard", "--all", ...url], "say --yes."],
    ["discarding a group's without --yes", ["dead-letters", "discard", "--group", "g", ...url], "say --yes."],
    ["data that is no JSON", ["publish", "a.b", "{oops", ...url], "the data must be JSON"],
    ["no data", ["publish", "a.b", ...url], "the data must be JSON: it is empty."],
    ["an id for many lines", ["publish", "a.b", "--lines", "--id", "x", ...url], "--id names one event"],
    ["a start without a group", ["tail", ">", "--from", "oldest", ...url], "give --group, too."],
    ["widening without a group", ["tail", ">", "--widen", ...url], "give --group, too."],
    [
      "a start that is none",
      ["tail", ">", "--group", "g", "--from", "first", ...url],
      "It must be oldest, newest or a date",
    ],
  ])("%s is refused with a sentence and exit code 2", async (_name, args, sentence) => {
    const { code, stdout, stderr } = await inProcess(args);
    expect(stderr).toContain(sentence);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it.each([
    ["streams"],
    ["groups"],
    ["dead-letters list"],
    ["dead-letters show g/1"],
    ["dead-letters replay --all"],
    ["dead-letters discard --all --yes"],
    ["health"],
    ["tail >"],
    ["tail > --group g"],
    ["publish a.b 1"],
  ])("%s with a url that is none ends with exit code 2", async (line) => {
    for (const wrong of ["redsi:", "sqlite:./never-made.db?lease=1"]) {
      const { code, stderr } = await inProcess([...line.split(" "), "--url", wrong]);
      expect({ wrong, code }).toEqual({ wrong, code: 2 });
      expect(stderr).toMatch(/^omnibus: BUS_INVALID_OPTION: [^\n]+\n$/u);
    }
  });

  it.each([
    [["publish", "a.b", "1", "--id", "x".repeat(300)]],
    [["publish", "a.b", "--lines", "--key", "x".repeat(9_999)]],
  ])("a value that the bus refuses ends with exit code 2", async (args) => {
    using temporary = temporaryBus();
    const { code, stderr } = await inProcess([...args, "--url", temporary.url], { input: "1\n" });
    expect(stderr).toContain("BUS_INVALID_OPTION");
    expect(code).toBe(2);
  });

  it("shows the help when nothing is asked, and fails", async () => {
    const { code, stderr } = await inProcess([]);
    expect(code).toBe(2);
    expect(stderr).toContain("Usage: omnibus");
  });
});

it("leaves the process with the same code and sentence", async () => {
  const { code, signal, stdout, stderr } = await cli(["dead-letters", "replay", ...url]);
  expect({ code, signal, stdout }).toEqual({ code: 2, signal: null, stdout: "" });
  expect(stderr).toBe("omnibus: which ones? Give an id, a filter such as --group, or --all.\n");
});

it("tells its version", async () => {
  const { code, stdout } = await inProcess(["--version"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/u) });
});

describe("--help", () => {
  it.each([
    [[], "omnibus dead-letters list --group shipping"],
    [["publish"], "omnibus publish orders.placed"],
    [["tail"], "omnibus tail"],
    [["streams"], "omnibus streams"],
    [["groups"], "omnibus groups"],
    [["dead-letters"], "omnibus dead-letters"],
    [["dead-letters", "list"], "omnibus dead-letters list"],
    [["dead-letters", "show"], "omnibus dead-letters show"],
    [["dead-letters", "replay"], "omnibus dead-letters replay"],
    [["dead-letters", "discard"], "omnibus dead-letters discard"],
    [["health"], "omnibus health"],
  ])("of %j has an example", async (command, example) => {
    const { code, stdout } = await inProcess([...command, "--help"]);
    expect(code).toBe(0);
    expect(stdout.slice(stdout.indexOf("Example"))).toContain(`$ ${example}`);
  });

  it("of tail says what joining a group does", async () => {
    const { stdout } = await inProcess(["tail", "--help"]);
    expect(stdout.replaceAll(/\s+/gu, " ")).toContain(
      "the events it takes count as handled and are gone for the other members",
    );
    expect(stdout).toContain("--widen");
  });

  it.each(["show", "replay", "discard"])("of dead-letters %s has ids as the list shows them", async (command) => {
    const { stdout } = await inProcess(["dead-letters", command, "--help"]);
    expect(stdout).toContain(`$ omnibus dead-letters ${command} shipping/0198`);
  });
});
