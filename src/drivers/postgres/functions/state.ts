import { byKey, nowMs, type DatabaseFunction } from "./append.ts";

/** How long a deleted key is remembered for watchers. */
const rememberMs = 3_600_000;

/** Under a lock for each bucket, so that revisions are in commit order. Null: what was expected did not hold. */
const put: DatabaseFunction = {
  takes: "text, text, bytea, bigint, boolean, bigint",
  text: `CREATE FUNCTION {1:put}(of_bucket text, of_key text, new_value bytea, ttl bigint, any_revision boolean, expected bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE ${byKey} AS $put$
#variable_conflict use_column
DECLARE now_ms bigint := ${nowMs}; found_ bigint; given bigint;
BEGIN
  PERFORM pg_advisory_xact_lock({lock:bucket}::bigint + (hashtext(of_bucket) & 268435455));
  SELECT revision INTO found_ FROM {state} WHERE bucket = of_bucket AND key = of_key AND value IS NOT NULL AND (expires IS NULL OR expires > now_ms);
  IF NOT any_revision AND found_ IS DISTINCT FROM expected THEN RETURN NULL; END IF;
  IF new_value IS NULL AND found_ IS NULL THEN RETURN NULL; END IF;
  given := nextval('{revision}');
  INSERT INTO {state} (bucket, key, value, revision, expires)
    VALUES (of_bucket, of_key, new_value, given, now_ms + CASE WHEN new_value IS NULL THEN ${rememberMs} ELSE ttl END)
    ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires;
  RETURN given;
END $put$`,
};

/** What ran out goes, deleted keys after an hour; one that was put anew meanwhile is another row version, and stays. */
const tidy: DatabaseFunction = {
  takes: "",
  text: `CREATE FUNCTION {1:tidy}() RETURNS void LANGUAGE plpgsql VOLATILE ${byKey} AS $tidy$
DECLARE now_ms bigint := ${nowMs}; gone int[];
BEGIN
  DELETE FROM {state} WHERE expires <= now_ms AND (bucket, key) IN (
    SELECT s.bucket, s.key FROM {state} s WHERE s.expires <= now_ms ORDER BY s.expires LIMIT 20000);
  DELETE FROM {letter_gone} WHERE at < now_ms - ${rememberMs};
  -- of streams whose rows somebody deleted by hand
  gone := ARRAY(SELECT DISTINCT stream FROM {part} WHERE stream NOT IN (SELECT id FROM {stream}));
  IF cardinality(gone) > 0 THEN
    DELETE FROM {place} WHERE stream = ANY (gone);
    DELETE FROM {progress} WHERE stream = ANY (gone);
    DELETE FROM {claimed} WHERE stream = ANY (gone);
    DELETE FROM {claim} WHERE stream = ANY (gone);
    DELETE FROM {held} WHERE stream = ANY (gone);
    DELETE FROM {delayed} WHERE stream = ANY (gone);
    DELETE FROM {part} WHERE stream = ANY (gone);
  END IF;
  DELETE FROM {direct} WHERE expires <= now_ms OR consumer NOT IN (SELECT id FROM {listener});
END $tidy$`,
};

export const stateFunctions: Readonly<Record<string, DatabaseFunction>> = { put, tidy };
