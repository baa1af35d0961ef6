import { printable } from "./printable.ts";

export interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => string;
  readonly right?: boolean;
}

function padded(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width);
}

/** A table of plain text: a line of titles, then one line for each row, columns two blanks apart. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.of(row)) || "-"));
  const widths = columns.map((column, at) => Math.max(column.title.length, ...cells.map((line) => line[at]!.length)));
  const titles = columns.map((column) => column.title.toUpperCase());
  return [titles, ...cells].map((line) =>
    line
      .map((text, at) => padded(text, widths[at]!, columns[at]!.right === true))
      .join("  ")
      .trimEnd(),
  );
}

/** Names and values under each other; several lines of one value are indented, so that none looks like a name. */
export function fields(pairs: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.flatMap(([name, value]) => {
    const [first = "", ...more] = value.split("\n");
    return [
      `${name.padEnd(width)}  ${first}`.trimEnd(),
      ...more.map((line) => `${" ".repeat(width)}  ${line}`.trimEnd()),
    ];
  });
}
