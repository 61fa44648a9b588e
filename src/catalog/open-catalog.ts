/**
 * The catalog: what is published, in one SQLite file beside the data. State: the database handle and its prepared
 * statements. The other files of this folder are functions over it, one file for each thing the catalog knows.
 *
 * Why it is right: whatever changes together is one transaction of a named kind, the file is in WAL mode with
 * `synchronous=FULL`, so a transaction that returned survives a power cut (but for the `unsynced` kinds), and one
 * that did not return is there wholly or not at all. Only the server writes it, under the data folder's lock. A file
 * counts as published when its row is committed, never because it lies in a folder.
 */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { RefoldError } from '../model/errors.ts'
import { assert } from '../std/assert.ts'
import { type Clock, systemClock } from '../std/clock.ts'
import { type Database, DatabaseSync, type Statement } from '../std/sqlite.ts'
import { migrations } from './migrations.ts'

/** Kinds of transactions; each can be interrupted at three places. */
export type TransactionKind =
  | 'migrate'
  | 'record-streams'
  | 'add-version'
  | 'fail-version'
  | 'move-serving'
  | 'retire-version'
  | 'version-states'
  | 'add-deploy'
  | 'update-deploy'
  | 'drop-slices'
  | 'publish-slices'
  | 'publish-lake'
  | 'merge-lake'
  | 'trim-lake'
  | 'publish-base'
  | 'record-skipped'
  | 'record-cut'
  | 'thin-reports'
  | 'record-audit'
  | 'record-checks'
  | 'record-verify'
  | 'set-meta'
  | 'set-runs'
  | 'begin-batch'
  | 'end-batch'
  | 'publish-batch'
  | 'snapshots'
  | 'pause-view'
  | 'record-dead-letters'

/** Places where a test may stop the process: before the first statement, before and after the commit. */
export type CatalogCrashPoint = `${TransactionKind}:${'begun' | 'written' | 'committed'}`

/**
 * Kinds whose loss at a power cut costs nothing that was promised; a killed process loses them no more than others.
 * The next synced transaction makes them durable too.
 */
const unsynced: ReadonlySet<TransactionKind> = new Set<TransactionKind>(['record-cut'])

export interface CatalogOptions {
  readonly clock?: Clock
  /** Called at every crash point; in production it does nothing. */
  readonly crash?: (point: CatalogCrashPoint) => void
}

export type SqlValue = string | number | null
export type SqlRow = Record<string, SqlValue>

export interface Catalog {
  /** The data folder; paths of files are stored relative to it, so that it can be moved. */
  readonly folder: string
  readonly clock: Clock
  /** Grows with every transaction that committed: what was read at one revision holds while it lasts. */
  readonly revision: number
  all(sql: string, ...values: SqlValue[]): SqlRow[]
  get(sql: string, ...values: SqlValue[]): SqlRow | undefined
  /** Returns how many rows changed. Only inside a transaction. */
  run(sql: string, ...values: SqlValue[]): number
  /** Runs `body` as one transaction: all of it is durable when this returns, none of it when it throws. */
  transaction<T>(kind: TransactionKind, body: () => T): T
  close(): void
}

/** Opens the catalog, creating or migrating it; the caller holds the folder's lock. */
export function openCatalog(path: string, options: CatalogOptions = {}): Catalog {
  const { clock = systemClock, crash = () => {} } = options
  const isNew = !existsSync(path)
  const database = openDatabase(path)
  const statements = new Map<string, Statement>()
  const prepare = (sql: string): Statement => {
    const known = statements.get(sql)
    if (known !== undefined) return known
    const statement = database.prepare(sql)
    statements.set(sql, statement)
    return statement
  }
  let inside = false
  let revision = 0
  const catalog: Catalog = {
    folder: dirname(path),
    clock,
    get revision() {
      return revision
    },
    all: (sql, ...values) => guard(path, () => prepare(sql).all(...values) as SqlRow[]),
    get: (sql, ...values) => guard(path, () => prepare(sql).get(...values) as SqlRow | undefined),
    run: (sql, ...values) => guard(path, () => Number(prepare(sql).run(...values).changes)),
    transaction(kind, body) {
      if (inside || !unsynced.has(kind)) return transact(kind, body)
      // A sync on this thread would hold up ingest once a second. The setting cannot change within a transaction.
      guard(path, () => database.exec('PRAGMA synchronous=NORMAL'))
      try {
        return transact(kind, body)
      } finally {
        database.exec('PRAGMA synchronous=FULL')
      }
    },
    close() {
      statements.clear()
      database.close()
    },
  }

  function transact<T>(kind: TransactionKind, body: () => T): T {
    // A transaction inside another is part of it: what changes together is decided by the outermost caller.
    if (inside) return body()
    guard(path, () => database.exec('BEGIN IMMEDIATE'))
    inside = true
    let result: T
    try {
      crash(`${kind}:begun`)
      result = body()
      crash(`${kind}:written`)
      guard(path, () => database.exec('COMMIT'))
      revision++
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    } finally {
      inside = false
    }
    crash(`${kind}:committed`)
    return result
  }

  try {
    migrate(catalog, database, path, isNew)
  } catch (error) {
    catalog.close()
    throw error
  }
  return catalog
}

/** Path of the catalog in a data folder. */
export function catalogPath(dataDir: string): string {
  return join(dataDir, 'catalog.sqlite')
}

function openDatabase(path: string): Database {
  return guard(path, () => {
    const database = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: true })
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=1000')
    return database
  })
}

function migrate(catalog: Catalog, database: Database, path: string, isNew: boolean): void {
  const found = Number(catalog.get('PRAGMA user_version')?.user_version ?? 0)
  if (found > migrations.length) {
    throw new RefoldError(
      'CATALOG_NEWER',
      `catalog "${path}" has format ${found}; this Refold knows formats up to ${migrations.length}`,
    )
  }
  if (found === migrations.length) return
  // A table is rebuilt under the same name; references to it hold again when the step ends, which is then checked.
  database.exec('PRAGMA foreign_keys=OFF')
  catalog.transaction('migrate', () => {
    for (const sql of migrations.slice(found)) database.exec(sql)
    assert(catalog.all('PRAGMA foreign_key_check').length === 0, 'references hold after a migration')
    database.exec(`PRAGMA user_version=${migrations.length}`)
    if (isNew) {
      const created = new Date(catalog.clock.nowMs()).toISOString()
      catalog.run('INSERT INTO meta (key, value) VALUES (?, ?)', 'created', created)
    }
  })
  database.exec('PRAGMA foreign_keys=ON')
}

const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

/** Errors of SQLite as errors of the catalog. */
function guard<T>(path: string, body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (!(error instanceof Error) || !('errcode' in error)) throw error
    const code = Number(error.errcode) & 0xff
    const damaged = code === SQLITE_CORRUPT || code === SQLITE_NOTADB
    throw new RefoldError(
      damaged ? 'CATALOG_CORRUPT' : code === SQLITE_FULL ? 'CATALOG_FULL' : 'CATALOG_FAILED',
      `catalog "${path}": ${error.message}`,
      { cause: error },
    )
  }
}
