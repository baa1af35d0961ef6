import { describe, expect, it } from "vitest";
import { errorPageProblems } from "../../scripts/check-docs.ts";
import { optionTestProblems, parityProblems, requirementIds } from "../../scripts/check-results.ts";
import { inPage } from "../../scripts/docs-code.ts";
import { linkProblems } from "../../scripts/docs-links.ts";
import { codeBlocks } from "../../scripts/markdown.ts";
import { documentedOptions, optionTables } from "../../scripts/options-reference.ts";
import { problemsOf } from "../../scripts/tracked-files.ts";

const tick = "```";

describe("docs/errors.md", () => {
  it("needs a heading for every code, and none for another", () => {
    const text = "## `BUS_CLOSED`\n\n## BUS_GONE: not there\n";
    expect(errorPageProblems(["BUS_CLOSED"], "## `BUS_CLOSED`\n")).toEqual([]);
    expect(errorPageProblems(["BUS_CLOSED", "BUS_FULL"], text)).toEqual([
      "docs/errors.md has no heading for BUS_FULL",
      "docs/errors.md: BUS_GONE is no error code",
    ]);
    expect(errorPageProblems(["BUS_CLOSED"], undefined)).toEqual(["there is no docs/errors.md"]);
  });
});

describe("docs/options.md", () => {
  it("is read back as it was written", () => {
    const option = { owner: "Bus.close", name: "a.b", type: "1 | 2", required: false, meaning: "", byDefault: "1" };
    expect(documentedOptions(optionTables([option]))).toEqual(["Bus.close.a.b"]);
  });
});

describe("docs/parity.md", () => {
  const rows = (changed: Readonly<Record<string, string>>): string =>
    requirementIds.map((id) => `| ${id} | \`api\` | ${changed[id] ?? " | later"} |`).join("\n");
  const tests = [
    { name: "bus publishes", passed: true },
    { name: "bus fails", passed: false },
  ];

  it("has 69 rows", () => {
    expect(requirementIds).toHaveLength(69);
    expect(parityProblems(rows({}), tests)).toEqual([]);
    expect(parityProblems(rows({}).replace("| B7 ", "| B77 "), tests)).toEqual([
      "docs/parity.md: no row for B7",
      "docs/parity.md: B77 is no requirement",
    ]);
  });

  it("calls done only what was tested and passed", () => {
    expect(parityProblems(rows({ A1: "publishes | done" }), tests)).toEqual([]);
    expect(parityProblems(rows({ A1: "publishes<br>waits | done" }), tests)).toEqual([
      `docs/parity.md: A1 is done, but no test is called "waits"`,
    ]);
    expect(parityProblems(rows({ A1: "fails | done" }), tests)).toEqual([
      `docs/parity.md: A1 is done, but "fails" did not pass`,
    ]);
    expect(parityProblems(rows({ A1: " | done" }), tests)).toHaveLength(1);
    expect(parityProblems(rows({ A1: "publishes | finished" }), tests)).toHaveLength(1);
  });
});

describe("tests of options", () => {
  it("must exist for each, pass, and name real ones", () => {
    const tests = [
      { name: "bus option: A.x, A.y.z is kept", passed: true },
      { name: "option: A.w", passed: false },
    ];
    expect(optionTestProblems(["A.x", "A.y.z"], tests.slice(0, 1))).toEqual([]);
    expect(optionTestProblems(["A.x", "A.w"], tests)).toEqual([
      `no passed test has "option: A.w" in its title`,
      `"bus option: A.x, A.y.z is kept": A.y.z is no option`,
    ]);
  });
});

describe("code in the docs", () => {
  const page = `# T\n\n<!-- before: let a = 1; -->\n\n${tick}ts\na;\nb;\n${tick}\n\n${tick}sh\nnpm ci\n${tick}\n`;

  it("is found with what stands above it", () => {
    const blocks = codeBlocks("README.md", page);
    expect(blocks.map(({ info, code, before }) => [info, code, before])).toEqual([
      ["ts", "a;\nb;\n", "let a = 1;"],
      ["sh", "npm ci\n", ""],
    ]);
  });

  it("is complained about where it stands in the page", () => {
    const message = ".tmp/docs-code/README-md-3.ts(3,1): error TS2304: Cannot find name 'b'.";
    expect(inPage(message, codeBlocks("README.md", page))).toBe("README.md:7: error TS2304: Cannot find name 'b'.");
  });
});

describe("links", () => {
  it("lead to files and headings", () => {
    const good = "[a](package.json) [b](https://example.org/x) [c](#some-heading)\n\n## Some `heading`!\n";
    expect(linkProblems("README.md", good)).toEqual([]);
    expect(linkProblems("README.md", good.replace("## Some", "## Other"))).toEqual([
      "README.md: #some-heading leads to no heading",
    ]);
    expect(linkProblems("README.md", `[a](nowhere.md)\n\n${tick}\n[b](no.md)\n${tick}\n`)).toEqual([
      "README.md: nowhere.md leads to no file",
    ]);
  });
});

describe("what must stand in no file", () => {
  it.each([
    ["TO" + "DO later", "a mark of unfinished work"],
    ["cd /ro" + "ot/x", "a path of one machine"],
    ["https://registry.npm" + "js.org/x", "a registry's address"],
    ["https://packages.example/x", "a registry's address"],
  ])("%s", (line, what) => {
    expect(problemsOf("a.md", `fine\n${line}\n`, ["packages.example"])).toEqual([`a.md:2 ${what}`]);
  });

  it("lets ordinary text pass", () => {
    expect(problemsOf("a.md", "a todo list, /tmp/x, ./builds/main\n", [])).toEqual([]);
  });
});
