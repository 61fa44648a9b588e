/**
 * Streams as they were first started, and every schema since with the cut from which it holds. Functions over the
 * catalog; no state here. Whether a change is allowed is decided before it is recorded (`define/`).
 */

import type { CommitSeq } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
import type { Catalog } from './open-catalog.ts'

export interface SchemaVersion {
  readonly stream: string
  /** Events after this cut were admitted with the schema. */
  readonly since: CommitSeq
  readonly def: StreamDef
}

/** Records streams that are new and schemas that differ from the last one recorded. */
export function recordStreams(catalog: Catalog, defs: readonly StreamDef[], cut: CommitSeq): void {
  const known = new Map(latestStreams(catalog).map((def) => [def.name, JSON.stringify(def)]))
  const changed = defs.filter((def) => known.get(def.name) !== JSON.stringify(def))
  if (changed.length === 0) return
  const now = catalog.clock.nowMs()
  catalog.transaction('record-streams', () => {
    for (const def of changed) {
      catalog.run(
        'INSERT INTO streams (name, partitions, created_ms) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING',
        def.name,
        def.partitions,
        now,
      )
      catalog.run(
        `INSERT INTO schemas (stream, since_cut, def, created_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (stream, since_cut) DO UPDATE SET def = excluded.def, created_ms = excluded.created_ms`,
        def.name,
        cut,
        JSON.stringify(def),
        now,
      )
    }
  })
}

/** Every stream that ever was, each with its last schema. */
export function latestStreams(catalog: Catalog): readonly StreamDef[] {
  return catalog
    .all(
      `SELECT def FROM schemas s
       WHERE since_cut = (SELECT max(since_cut) FROM schemas t WHERE t.stream = s.stream)
       ORDER BY stream`,
    )
    .map((row) => JSON.parse(String(row.def)) as StreamDef)
}

export function schemaHistory(catalog: Catalog): readonly SchemaVersion[] {
  return catalog.all('SELECT stream, since_cut, def FROM schemas ORDER BY stream, since_cut').map((row) => ({
    stream: String(row.stream),
    since: Number(row.since_cut),
    def: JSON.parse(String(row.def)) as StreamDef,
  }))
}
