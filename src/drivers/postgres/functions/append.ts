/** Its text names it `{1:…}`, by the layout that brought it. */
export interface DatabaseFunction {
  /** The types of its arguments. */
  readonly takes: string;
  readonly text: string;
}

/**
 * Plans made while a table was small would stay: the key is always the way. What is off looks so dear that it would be compiled; and
 * what goes through few elements of an array would be planned anew with each call.
 */
export const byKey: string =
  "SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan";

/** The lock of that kind for that number, as `Names.lock` has it. */
export const lockOf = (kind: string, id: string): string => `{lock:${kind}}::bigint + ((${id} % 65536)::bigint << 12)`;

/**
 * From there on the due time of a row of `delayed` says that it was cancelled, and when: the row stays as long as its id is
 * recognised, so that a second try of its publish does not bring it to life.
 */
export const cancelledFrom: string = "4611686018427387904";

/** The server's clock, in milliseconds. */
export const nowMs: string = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** Of a regular expression as `regexOf` makes it, without wildcards: the topics themselves, which cost a tenth of it to compare. Else null. */
export const exactOf = (pattern: string): string =>
  `CASE WHEN ${pattern} ~ '^\\^\\(\\?:(\\w|\\||\\\\[^\\w|])+\\)\\$$'
    THEN string_to_array(regexp_replace(substr(${pattern}, 5, length(${pattern}) - 6), '\\\\(.)', '\\1', 'g'), '|') END`;

/** So few messages that to find out how else their topics can be compared costs more. */
export const few = 16;

/** Of a partition without a row, the newest position (`seq`): where somebody emptied the log by hand, what is new is above whatever a group has come to. */
export const lifted = (seq: string, stream: string, part: string): string =>
  `SELECT greatest(${seq}, max(x.seq)) INTO ${seq} FROM (
        SELECT max(c.seq) FROM {claimed} c WHERE c.stream = ${stream} AND c.partition = ${part}
        UNION ALL SELECT max(p.cursor) FROM {place} p WHERE p.stream = ${stream} AND p.partition = ${part}
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM {progress} g WHERE g.stream = ${stream} AND g.partition = ${part}) AS x(seq);
      UPDATE {part} SET first = ${seq} + 1 WHERE stream = ${stream} AND partition = ${part} AND first <= ${seq};`;

const takes = "int, smallint[], bigint[], text[], text[], text[], bytea[], bigint[], bytea[], boolean";

/**
 * One turn's messages for one stream, of one array element each, sorted by partition; an array of nothing but nulls is null. Of a
 * place the bits from 42 on are the index into `parts`, those from 32 on the number within its partition, the others the bytes
 * up to it. Under a lock for each partition, in their order, the newest position is read *after* the locks are held, which needs
 * a statement of its own: so positions are dense and in commit order. Answers the positions before, and with `checked` what the
 * stream then holds: messages, bytes.
 */
export const appendFunction: DatabaseFunction = {
  takes,
  text: `CREATE FUNCTION {1:append}(
  of_stream int, parts smallint[], places bigint[], topics text[], keys text[], all_headers text[],
  brokers bytea[], all_expires bigint[], bodies bytea[], checked boolean
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE ${byKey} AS $append$
DECLARE
  seqs bigint[]; totals bigint[]; ats bigint[]; now_ms bigint; most_bytes bigint; most_messages bigint;
  held_messages bigint := -1; held_bytes bigint := -1; s bigint; t bigint; a bigint;
BEGIN
  FOR i IN 1 .. cardinality(parts) LOOP PERFORM pg_advisory_xact_lock(${lockOf("append", "of_stream")} + parts[i]); END LOOP;
  SELECT max_bytes, max_messages INTO most_bytes, most_messages FROM {stream} WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such stream' USING ERRCODE = 'OM002'; END IF;
  now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
  IF checked THEN
    SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut)
      INTO held_messages, held_bytes
      FROM {part} p LEFT JOIN LATERAL (
        SELECT seq, total FROM {log} WHERE stream = of_stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
      WHERE p.stream = of_stream;
    held_messages := held_messages + cardinality(bodies);
    held_bytes := held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body);
    IF held_bytes > most_bytes OR held_messages > most_messages THEN
      RAISE EXCEPTION 'full' USING ERRCODE = 'OM001', DETAIL = format('%s %s',
        coalesce(most_messages - held_messages + cardinality(bodies), 2147483647),
        most_bytes - held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body));
    END IF;
  END IF;
  FOR i IN 1 .. cardinality(parts) LOOP
    SELECT seq, total, at INTO s, t, a FROM {log} WHERE stream = of_stream AND partition = parts[i] ORDER BY seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT first - 1, cut, 0 INTO STRICT s, t, a FROM {part} WHERE stream = of_stream AND partition = parts[i];
      ${lifted("s", "of_stream", "parts[i]")}
    END IF;
    seqs[i] := s; totals[i] := t; ats[i] := greatest(a, now_ms);
  END LOOP;
  INSERT INTO {log} (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
    SELECT of_stream, parts[(m.place >> 42)::int], seqs[(m.place >> 42)::int] + (m.place >> 32 & 1023), ats[(m.place >> 42)::int],
           totals[(m.place >> 42)::int] + (m.place & 4294967295), now_ms + m.expires, m.broker, m.topic, m.key, m.headers, m.body
      FROM unnest(places, topics, keys, all_headers, brokers, all_expires, bodies)
        AS m(place, topic, key, headers, broker, expires, body);
  RETURN seqs || held_messages || held_bytes;
END $append$`,
};
