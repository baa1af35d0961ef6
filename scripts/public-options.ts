/** Every option that a user can give, read from the types: members of the public interfaces that hold options. */
import { entryPoints, type Declaration, reachable } from "./declarations.ts";
import { run } from "./run.ts";
import { isNode, nameOf, type Node, type SourceFile } from "./source.ts";

export interface PublicOption {
  /** `SubscribeOptions`, or `Bus.publishMany` for options written in the signature. */
  readonly owner: string;
  /** `concurrency`, `reconnect.minMs`. */
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly meaning: string;
  readonly byDefault: string;
}

const holdsOptions = /(Options|Policy|Query|Config|Attachment|Queue)$|^(Scope|DriverUnderTest|RecoveryUnderTest)$/;
/** What errors are made of and what a client of the user's takes, not what users set. */
const notOptions = new Set(["BusErrorOptions", "NatsPublishOptions", "NatsSubscriptionOptions"]);

function text(file: SourceFile, node: Node): string {
  return file.text
    .slice(node.start, node.end)
    .replaceAll(/\/\*.*?\*\/|\/\/.*/gs, "")
    .replaceAll(/\s+/g, " ");
}

/** The doc comment right before a node: its prose, and its `@default`. */
function doc(file: SourceFile, node: Node): { meaning: string; byDefault: string } {
  const before = file.comments.findLast((each) => each.end <= node.start && each.value.startsWith("*"));
  if (before === undefined || file.text.slice(before.end, node.start).trim() !== "")
    return { meaning: "", byDefault: "" };
  const prose = before.value
    .replaceAll(/^\s*\*+ ?/gm, "")
    .replaceAll(/\s+/g, " ")
    .trim();
  const [meaning = "", byDefault = ""] = prose.split(/ ?@default /);
  return {
    meaning: (meaning.split(/(?:^| )@\w+/)[0] ?? "").trim(),
    byDefault: (byDefault.split(/ @\w+/)[0] ?? "").trim(),
  };
}

/** The members of `{ … }`, `readonly { … }[]`, `{ … } | false | undefined`; undefined for any other type. */
function literalMembers(type: unknown): readonly Node[] | undefined {
  if (!isNode(type)) return undefined;
  if (type.type === "TSTypeLiteral") return type["members"] as readonly Node[];
  if (type.type === "TSTypeOperator" || type.type === "TSParenthesizedType")
    return literalMembers(type["typeAnnotation"]);
  if (type.type === "TSArrayType") return literalMembers(type["elementType"]);
  if (type.type !== "TSUnionType") return undefined;
  const off = (each: Node): boolean =>
    each.type === "TSUndefinedKeyword" || (isNode(each["literal"]) && each["literal"]["value"] === false);
  const rest = (type["types"] as readonly Node[]).filter((each) => !off(each));
  const members = rest.map(literalMembers);
  return rest.length > 0 && members.every((each) => each !== undefined) ? members.flat() : undefined;
}

function optionsOf(file: SourceFile, owner: string, members: readonly Node[], prefix = ""): PublicOption[] {
  return members.flatMap((member) => {
    const key = nameOf(member["key"]);
    if (key === undefined || (member.type !== "TSPropertySignature" && member.type !== "TSMethodSignature")) return [];
    const annotation = member["typeAnnotation"] as { readonly typeAnnotation?: Node } | null | undefined;
    const type = annotation?.typeAnnotation;
    const name = `${prefix}${key}`;
    const nested = literalMembers(type);
    if (nested !== undefined && nested.length > 0) return optionsOf(file, owner, nested, `${name}.`);
    const shown = type === undefined ? text(file, member) : text(file, type).replace(/ \| undefined$/, "");
    return [{ owner, name, type: shown, required: member["optional"] !== true, ...doc(file, member) }];
  });
}

/** `{ … }` anywhere in an intersection or union. */
function partsOf(type: unknown): readonly Node[] {
  if (!isNode(type)) return [];
  if (type.type === "TSTypeLiteral") return type["members"] as readonly Node[];
  return ((type["types"] ?? []) as readonly Node[]).flatMap(partsOf);
}

/** Options written into the signature itself: `publishMany(items, options?: { signal? })`. */
function signatureOptions(file: SourceFile, owner: string, signature: Node): PublicOption[] {
  return ((signature["params"] ?? []) as readonly Node[])
    .filter((parameter) => nameOf(parameter) === "options")
    .flatMap((parameter) => {
      const annotation = parameter["typeAnnotation"] as { readonly typeAnnotation?: Node } | null | undefined;
      return optionsOf(file, owner, partsOf(annotation?.typeAnnotation));
    });
}

function membersOf(node: Node): readonly Node[] {
  const body = node["body"] as { readonly body?: readonly Node[] } | null | undefined;
  return node.type === "TSInterfaceDeclaration" || node.type === "ClassDeclaration" ? (body?.body ?? []) : [];
}

export function optionsIn({ name, file, nodes }: Declaration): PublicOption[] {
  if (notOptions.has(name)) return [];
  return nodes.flatMap((node) => {
    if (holdsOptions.test(name)) return optionsOf(file, name, [...membersOf(node), ...partsOf(node["typeAnnotation"])]);
    const methods = membersOf(node).flatMap((member) => {
      const signature = isNode(member["value"]) ? member["value"] : member;
      const method = nameOf(member["key"]);
      return method === undefined || method === "constructor"
        ? []
        : signatureOptions(file, `${name}.${method}`, signature);
    });
    const contract = file.path.endsWith("/driver.d.ts"); // the core fills these in, not a user
    return contract ? [] : [...signatureOptions(file, name, node), ...methods];
  });
}

/** Of all entry points but `omnibus/driver`. Compiles the declarations first, so that they are today's. */
export function publicOptions(): PublicOption[] {
  const folder = ".tmp/declarations";
  const compiled = run("tsc", ["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", folder]);
  if (!compiled.ok) throw new Error(`the options can't be read: ${compiled.output}`);
  const entries = Object.entries(entryPoints(folder)).filter(([subpath]) => !subpath.endsWith("/driver"));
  const all = reachable(entries.map(([, path]) => path)).flatMap(optionsIn);
  const unique = new Map(all.map((option) => [`${option.owner}.${option.name}`, option]));
  return [...unique.values()].toSorted((a, b) => a.owner.localeCompare(b.owner));
}
