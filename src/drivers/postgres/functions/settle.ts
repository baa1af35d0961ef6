import { byKey, lockOf, nowMs, type DatabaseFunction } from "./append.ts";

/** What the rows of an answer are. */
export const settleKinds = { stale: 1, moved: 2, old: 8 } as const;

/** A letter, as \`letters\` has it: the bodies go apart, since JSON has no bytes. */
export const putLetter = (letter: string, body: string): string => `
      INSERT INTO {letter} (id, address, grp, topic, key, headers, body, stored_at, not_before)
        VALUES (${letter}->>'id', ${letter}->>'address', ${letter}->>'group', ${letter}->>'topic', ${letter}->>'key', ${letter}->>'headers', ${body},
          (${letter}->>'storedAt')::bigint, (${letter}->>'notBefore')::bigint)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
          headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before,
          token = NULL, claimed_until = 0`;

/**
 * What became of messages that a member of an unordered group has: runs with the bits of what is done (without bits: all of it),
 * messages of their own that are handled, and in \`entries\` what is retried, released, noted or dead. Of what is another's by now
 * nothing is written, and it is said.
 */
export const settleFunction: DatabaseFunction = {
  takes: "bigint, int, int, text, boolean, bigint[], bigint[], bytea[], int[], smallint[], bigint[], text, bytea[]",
  text: `CREATE FUNCTION {1:settle}(
  of_member bigint, of_session int, of_grp int, self text, lasting boolean, ids bigint[], lows bigint[], bits bytea[],
  gone_streams int[], gone_parts smallint[], gone_seqs bigint[], entries text, bodies bytea[]
) RETURNS TABLE (o_kind int, o_id bigint, o_done boolean, o_delay bigint) LANGUAGE plpgsql VOLATILE ${byKey} AS $settle$
#variable_conflict use_column
DECLARE
  now_ms bigint := ${nowMs}; written bigint[] := '{}'; part_ bigint[]; e jsonb; n int := 0; ok boolean; before text; avoid_ text; rest boolean;
  due_ bigint; not_before_ bigint; to_ bigint;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared(${lockOf("group", "of_grp")});
  -- without a seat there is nothing that could be changed
  IF EXISTS (SELECT FROM {member} WHERE id = of_member AND session <> of_session) THEN
    o_kind := ${settleKinds.old}; RETURN NEXT; RETURN;
  END IF;
  WITH gone AS (DELETE FROM {claim} c USING unnest(ids, bits) AS u(id, b) WHERE c.id = u.id AND u.b IS NULL AND c.member = of_member RETURNING c.id)
    SELECT array_agg(id) INTO part_ FROM gone;
  written := written || coalesce(part_, '{}');
  WITH kept AS (UPDATE {claim} c SET done = u.b, low = u.low FROM unnest(ids, lows, bits) AS u(id, low, b)
      WHERE c.id = u.id AND u.b IS NOT NULL AND c.member = of_member RETURNING c.id)
    SELECT array_agg(id) INTO part_ FROM kept;
  written := written || coalesce(part_, '{}');
  RETURN QUERY SELECT ${settleKinds.stale}, u.id, false, 0::bigint FROM unnest(ids) AS u(id) WHERE u.id <> ALL (written);
  DELETE FROM {held} h USING unnest(gone_streams, gone_parts, gone_seqs) AS u(stream, partition, seq)
    WHERE h.grp = of_grp AND h.stream = u.stream AND h.partition = u.partition AND h.seq = u.seq AND h.member = of_member;
  IF entries IS NULL THEN RETURN; END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(entries::jsonb) LOOP
    n := n + 1;
    ok := CASE WHEN e->>'run' IS NULL THEN true ELSE (e->>'run')::bigint = ANY (written) END;
    IF e->>'how' = 'dead' THEN
      IF e->>'run' IS NULL THEN
        DELETE FROM {held} WHERE grp = of_grp AND stream = (e->>'stream')::int AND partition = (e->>'partition')::smallint
          AND seq = (e->>'seq')::bigint AND member = of_member;
        ok := FOUND;
      END IF;
      IF ok THEN${putLetter("(e->'letter')", "bodies[n]")};
      END IF;
    ELSIF ok THEN
      avoid_ := NULL; not_before_ := NULL; to_ := NULL;
      due_ := now_ms + coalesce((e->>'delay')::bigint, 0);
      IF e->>'how' = 'note' THEN
        to_ := of_member; due_ := 0; not_before_ := (e->>'notBefore')::bigint;
      ELSIF e->>'how' = 'release' THEN
        before := coalesce(e->>'avoid', '');
        avoid_ := CASE WHEN strpos(before, self) > 0 THEN self || '|' ELSE before || self || '|' END;
        SELECT coalesce(bool_and(strpos(avoid_, p.member) > 0), true) INTO rest
          FROM {process} p WHERE p.id IN (SELECT m.process FROM {member} m WHERE m.grp = of_grp);
        IF NOT rest THEN not_before_ := due_; due_ := now_ms; END IF;
      END IF;
      IF e->>'run' IS NULL THEN
        UPDATE {held} SET member = to_, due = due_, attempts = coalesce((e->>'attempts')::int, attempts), not_before = not_before_,
            deliveries = (e->>'deliveries')::int, headers = coalesce(e->>'headers', headers), avoid = avoid_
          WHERE grp = of_grp AND stream = (e->>'stream')::int AND partition = (e->>'partition')::smallint
            AND seq = (e->>'seq')::bigint AND member = of_member;
        ok := FOUND;
      ELSE
        INSERT INTO {held} (grp, stream, partition, seq, member, due, attempts, not_before, deliveries, headers, avoid)
          VALUES (of_grp, (e->>'stream')::int, (e->>'partition')::smallint, (e->>'seq')::bigint, to_, due_, coalesce((e->>'attempts')::int, 0),
            not_before_, (e->>'deliveries')::int, e->>'headers', avoid_)
          ON CONFLICT (grp, stream, partition, seq) DO UPDATE SET member = excluded.member, due = excluded.due, attempts = excluded.attempts,
            not_before = excluded.not_before, deliveries = excluded.deliveries, headers = excluded.headers, avoid = excluded.avoid;
      END IF;
    END IF;
    o_kind := ${settleKinds.moved}; o_id := n - 1; o_done := ok; o_delay := greatest(0, coalesce(due_, 0) - now_ms); RETURN NEXT;
  END LOOP;
END $settle$`,
};
