import { byKey, lockOf, nowMs, type DatabaseFunction } from "./append.ts";

/** Gives partitions up, of those given or all of the member's, with what its newest progress says; under the group's lock. */
const fold: DatabaseFunction = {
  takes: "bigint, boolean, int[], smallint[], bigint[]",
  text: `CREATE FUNCTION {1:fold}(of_member bigint, counted boolean, streams int[], parts smallint[], epochs bigint[]) RETURNS int
LANGUAGE plpgsql VOLATILE ${byKey} AS $fold$
#variable_conflict use_column
DECLARE p record; r record; given int := 0; outs_ bigint[];
BEGIN
  FOR p IN SELECT * FROM {place} WHERE member = of_member AND (streams IS NULL
      OR EXISTS (SELECT FROM unnest(streams, parts, epochs) AS u(s, n, e) WHERE u.s = stream AND u.n = partition AND (u.e IS NULL OR u.e = epoch)))
  LOOP
    SELECT cursor, out, done INTO r FROM {progress}
      WHERE grp = p.grp AND stream = p.stream AND partition = p.partition AND n >= p.epoch << 32 ORDER BY n DESC LIMIT 1;
    IF NOT FOUND THEN SELECT p.cursor AS cursor, 0::bigint AS out, p.done AS done INTO r; END IF;
    outs_ := ARRAY(SELECT o FROM unnest(coalesce(p.outs, '{}') || CASE WHEN counted THEN ARRAY[r.out] ELSE '{}'::bigint[] END) AS o WHERE o > r.cursor);
    UPDATE {place} SET member = NULL, epoch = epoch + 1, cursor = r.cursor, done = r.done, outs = outs_
      WHERE grp = p.grp AND stream = p.stream AND partition = p.partition;
    DELETE FROM {progress} WHERE grp = p.grp AND stream = p.stream AND partition = p.partition;
    -- notes of what was settled when its partition was lost
    DELETE FROM {held} WHERE grp = p.grp AND stream = p.stream AND partition = p.partition AND seq <= r.cursor;
    given := given + 1;
  END LOOP;
  RETURN given;
END $fold$`,
};

/** Everything of a group. Its queue's messages go later, in batches. */
const dropGroup: DatabaseFunction = {
  takes: "int",
  text: `CREATE FUNCTION {1:drop_group}(of_grp int) RETURNS boolean LANGUAGE plpgsql VOLATILE ${byKey} AS $drop_group$
DECLARE name_ text;
BEGIN
  PERFORM pg_advisory_xact_lock(${lockOf("group", "of_grp")});
  DELETE FROM {grp} WHERE id = of_grp RETURNING name INTO name_;
  IF name_ IS NULL THEN RETURN false; END IF;
  DELETE FROM {claim} WHERE grp = of_grp;
  DELETE FROM {claimed} WHERE grp = of_grp;
  DELETE FROM {held} WHERE grp = of_grp;
  DELETE FROM {place} WHERE grp = of_grp;
  DELETE FROM {progress} WHERE grp = of_grp;
  DELETE FROM {member} WHERE grp = of_grp;
  DELETE FROM {letter} WHERE grp = name_;
  DELETE FROM {delayed} WHERE stream IN (SELECT id FROM {stream} WHERE queue AND name = name_);
  UPDATE {stream} SET gone = true, name = name || ' ' || id WHERE queue AND name = name_;
  RETURN true;
END $drop_group$`,
};

/** A seat in a group, and the version of its definition; no row: there is none of us, or none of the group. */
const seat: DatabaseFunction = {
  takes: "int, bigint",
  text: `CREATE FUNCTION {1:seat}(of_grp int, of_process bigint) RETURNS TABLE (o_member bigint, o_version bigint)
LANGUAGE plpgsql VOLATILE ${byKey} AS $seat$
#variable_conflict use_column
DECLARE now_ms bigint := ${nowMs};
BEGIN
  -- in the order of a burial, or both would wait for each other
  PERFORM 1 FROM {process} WHERE id = of_process FOR SHARE;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock(${lockOf("group", "of_grp")});
  UPDATE {grp} SET roster = roster + 1, idle_since = now_ms WHERE id = of_grp RETURNING version INTO o_version;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO {member} (grp, process, version) VALUES (of_grp, of_process, o_version) RETURNING id INTO o_member;
  -- perhaps the new one can handle what the others released
  UPDATE {held} SET not_before = coalesce(not_before, due), due = now_ms
    WHERE grp = of_grp AND member IS NULL AND avoid IS NOT NULL AND due > now_ms;
  RETURN NEXT;
END $seat$`,
};

/** Hands back what a member holds; \`counted\` when it may have been handed to a handler. The group, when it had a seat. */
const leave: DatabaseFunction = {
  takes: "bigint, boolean",
  text: `CREATE FUNCTION {1:leave}(of_member bigint, counted boolean) RETURNS int LANGUAGE plpgsql VOLATILE ${byKey} AS $leave$
#variable_conflict use_column
DECLARE g int; minus int := CASE WHEN counted THEN 0 ELSE 1 END;
BEGIN
  SELECT grp INTO g FROM {member} WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  PERFORM pg_advisory_xact_lock(${lockOf("group", "g")});
  DELETE FROM {member} WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  UPDATE {claim} SET member = NULL, deliveries = deliveries - minus WHERE member = of_member;
  UPDATE {held} SET member = NULL, due = 0, deliveries = deliveries - minus WHERE member = of_member;
  PERFORM {1:fold}(of_member, counted, NULL, NULL, NULL);
  UPDATE {grp} SET roster = roster + 1, idle_since = ${nowMs} WHERE id = g;
  IF EXISTS (SELECT FROM {grp} WHERE id = g AND live) AND NOT EXISTS (SELECT FROM {member} WHERE grp = g) THEN
    PERFORM {1:drop_group}(g);
  END IF;
  RETURN g;
END $leave$`,
};

/**
 * After a reconnect: the number by which a member goes on. Alone under the group's lock, so whatever its former connections still
 * ask for is wholly before it, and seen, or after it, and refused. Null: its seat is gone.
 */
const renew: DatabaseFunction = {
  takes: "bigint",
  text: `CREATE FUNCTION {1:renew}(of_member bigint) RETURNS int LANGUAGE plpgsql VOLATILE ${byKey} AS $renew$
DECLARE g int; s int;
BEGIN
  SELECT grp INTO g FROM {member} WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  PERFORM pg_advisory_xact_lock(${lockOf("group", "g")});
  UPDATE {member} SET session = session + 1 WHERE id = of_member RETURNING session INTO s;
  RETURN s;
END $renew$`,
};

/** Everything that a process held is free for others: of one whose lease is over, or that was not seen since, or by its own wish. */
const bury: DatabaseFunction = {
  takes: "bigint, bigint, boolean",
  text: `CREATE FUNCTION {1:bury}(of_process bigint, seen_before bigint, own boolean) RETURNS int[] LANGUAGE plpgsql VOLATILE ${byKey} AS $bury$
#variable_conflict use_column
DECLARE m record; groups int[] := '{}'; listened boolean;
BEGIN
  PERFORM 1 FROM {process} WHERE id = of_process AND (own OR until < ${nowMs} OR seen <= seen_before) FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  FOR m IN SELECT id, grp FROM {member} WHERE process = of_process ORDER BY grp LOOP
    groups := groups || coalesce({1:leave}(m.id, true), 0);
  END LOOP;
  WITH gone AS (DELETE FROM {listener} WHERE process = of_process RETURNING id)
    SELECT count(*) > 0 INTO listened FROM gone;
  IF listened THEN UPDATE {meta} SET value = (value::bigint + 1)::text WHERE key = 'direct'; END IF;
  DELETE FROM {process} WHERE id = of_process;
  RETURN groups;
END $bury$`,
};

/** Renews a lease; says whose is over, and what else moved. No row: ours is gone. */
const beat: DatabaseFunction = {
  takes: "bigint, bigint",
  text: `CREATE FUNCTION {1:beat}(of_process bigint, lease bigint) RETURNS TABLE (o_routing text, o_id text, o_dead bigint[])
LANGUAGE plpgsql VOLATILE ${byKey} AS $beat$
#variable_conflict use_column
DECLARE now_ms bigint := ${nowMs};
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE {process} SET seen = now_ms, until = now_ms + lease WHERE id = of_process;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT value INTO o_routing FROM {meta} WHERE key = 'routing';
  SELECT value INTO o_id FROM {meta} WHERE key = 'id';
  o_dead := ARRAY(SELECT id FROM {process} WHERE until < now_ms ORDER BY id);
  RETURN NEXT;
END $beat$`,
};

/** Takes partitions that nobody owns, gives others up. What was taken, with its new epoch. No row at all: no seat, or an earlier session of it. */
const share: DatabaseFunction = {
  takes: "bigint, int, int, int[], smallint[], int[], smallint[], bigint[]",
  text: `CREATE FUNCTION {1:share}(
  of_member bigint, of_session int, of_grp int, take_streams int[], take_parts smallint[], give_streams int[], give_parts smallint[], give_epochs bigint[]
) RETURNS TABLE (o_stream int, o_partition smallint, o_epoch bigint, o_cursor bigint, o_done bytea, o_outs bigint[], o_first bigint, o_lost bigint)
LANGUAGE plpgsql VOLATILE ${byKey} AS $share$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(${lockOf("group", "of_grp")});
  PERFORM 1 FROM {member} WHERE id = of_member AND session = of_session;
  IF NOT FOUND THEN RETURN; END IF;
  IF cardinality(give_streams) > 0 AND {1:fold}(of_member, false, give_streams, give_parts, give_epochs) > 0 THEN
    UPDATE {grp} SET roster = roster + 1, idle_since = ${nowMs} WHERE id = of_grp;
  END IF;
  RETURN QUERY UPDATE {place} p SET member = of_member, epoch = epoch + 1
    FROM unnest(take_streams, take_parts) AS u(stream, partition), {part} t
    WHERE p.grp = of_grp AND p.stream = u.stream AND p.partition = u.partition AND p.member IS NULL
      AND t.stream = p.stream AND t.partition = p.partition
    RETURNING p.stream, p.partition, p.epoch, p.cursor, p.done, p.outs, t.first, 0::bigint;
  WITH l AS (SELECT stream, partition, lost FROM {place} WHERE grp = of_grp AND member = of_member AND lost > 0 FOR UPDATE),
    said AS (UPDATE {place} p SET lost = 0 FROM l WHERE p.grp = of_grp AND p.stream = l.stream AND p.partition = l.partition RETURNING l.lost AS lost)
    SELECT coalesce(sum(lost), 0) INTO o_lost FROM said;
  RETURN NEXT;
END $share$`,
};

/**
 * Makes a group (\`expected\` 0), or changes the definition that had that version, places and all. No row: another one was first.
 */
const define: DatabaseFunction = {
  takes: "text, bigint, text, text, text, boolean, int[], smallint[], bigint[], int[]",
  text: `CREATE FUNCTION {1:define}(
  of_name text, expected bigint, new_reads text, new_origin text, new_keeps text, new_live boolean,
  streams int[], parts smallint[], starts bigint[], dropped int[]
) RETURNS TABLE (o_id int, o_version bigint) LANGUAGE plpgsql VOLATILE ${byKey} AS $define$
#variable_conflict use_column
BEGIN
  IF expected = 0 THEN
    INSERT INTO {grp} (name, reads, origin, keeps, live, idle_since) VALUES (of_name, new_reads, new_origin, new_keeps, new_live, ${nowMs})
      ON CONFLICT (name) DO NOTHING RETURNING id, version INTO o_id, o_version;
    IF o_id IS NULL THEN RETURN; END IF;
  ELSE
    SELECT id INTO o_id FROM {grp} WHERE name = of_name;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(${lockOf("group", "o_id")});
    UPDATE {grp} SET reads = new_reads, version = version + 1, roster = roster + 1 WHERE id = o_id AND version = expected RETURNING version INTO o_version;
    IF NOT FOUND THEN RETURN; END IF;
    DELETE FROM {claim} WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM {claimed} WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM {held} WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM {place} WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM {progress} WHERE grp = o_id AND stream = ANY (dropped);
  END IF;
  INSERT INTO {place} (grp, stream, partition, start, cursor)
    SELECT o_id, u.stream, u.partition, u.start, u.start FROM unnest(streams, parts, starts) AS u(stream, partition, start)
    ON CONFLICT (grp, stream, partition) DO NOTHING;
  RETURN NEXT;
END $define$`,
};

/** Where a group goes on: at new starts, which needs that nobody is a member; or (\`only_back\`) where it started later than that. */
const start: DatabaseFunction = {
  takes: "int, int[], smallint[], bigint[], boolean",
  text: `CREATE FUNCTION {1:start}(of_grp int, streams int[], parts smallint[], starts bigint[], only_back boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE ${byKey} AS $start$
#variable_conflict use_column
DECLARE p record;
BEGIN
  PERFORM pg_advisory_xact_lock(${lockOf("group", "of_grp")});
  IF NOT only_back AND EXISTS (SELECT FROM {member} WHERE grp = of_grp) THEN
    RAISE EXCEPTION 'the group has active members' USING ERRCODE = 'OM004';
  END IF;
  FOR p IN SELECT q.stream, q.partition, u.start FROM unnest(streams, parts, starts) AS u(stream, partition, start)
      JOIN {place} q ON q.grp = of_grp AND q.stream = u.stream AND q.partition = u.partition WHERE NOT only_back OR q.start > u.start
  LOOP
    IF only_back THEN
      UPDATE {place} SET start = p.start, cursor = least(cursor, p.start), done = NULL, member = NULL, epoch = epoch + 1
        WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    ELSE
      UPDATE {place} SET start = p.start, cursor = p.start, done = NULL, outs = NULL, member = NULL, lost = 0, epoch = epoch + 1
        WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
      DELETE FROM {claim} WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
      DELETE FROM {held} WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    END IF;
    DELETE FROM {claimed} WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    DELETE FROM {progress} WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
  END LOOP;
  UPDATE {grp} SET roster = roster + 1, idle_since = ${nowMs} WHERE id = of_grp;
  RETURN true;
END $start$`,
};

export const memberFunctions: Readonly<Record<string, DatabaseFunction>> = {
  fold,
  drop_group: dropGroup,
  seat,
  leave,
  renew,
  bury,
  beat,
  share,
  define,
  start,
};
