import { undecodable } from "./undecodable.ts";

/** What a `content-type` says of bytes: JSON (also when there is none), text, or bytes. Throws for a charset that is not UTF-8. */
export function contentKind(contentType: string | undefined): "json" | "text" | "bytes" {
  if (contentType === undefined || contentType === "application/json") return "json";
  const [type = "", ...parameters] = contentType
    .toLowerCase()
    .split(";")
    .map((part) => part.trim());
  const charset = parameters
    .find((parameter) => parameter.startsWith("charset="))
    ?.slice(8)
    .replaceAll('"', "");
  const kind = /^[^/]+\/(?:json|[^/]+\+json)$/.test(type) ? "json" : type.startsWith("text/") ? "text" : "bytes";
  if (kind !== "bytes" && charset !== undefined && charset !== "utf-8" && charset !== "us-ascii")
    throw undecodable("a charset that is not UTF-8");
  return kind;
}
