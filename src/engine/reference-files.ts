/**
 * Reference files of batch definitions: reads them for the planner, and gives the SQL by which a version reads the
 * copy that it keeps. Opened for one planning: a database of its own that can open files of the project's folder and
 * of the copies, and nothing else. State: that database, from the first file on.
 */

import { createHash } from 'node:crypto'
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { extname, isAbsolute, join, relative, sep } from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier, quoteLiteral } from '../model/schema.ts'
import type { BatchFile, Column } from '../plan/plan.ts'
import type { ReferenceFiles } from '../plan/plan-batch.ts'

export interface OpenReferenceFiles extends ReferenceFiles {
  close(): void
}

export interface ReferenceFolders {
  /** Of the project. */
  readonly root: string
  /** Of the copies that versions keep. */
  readonly copies: string
}

/** `wanted` has the hashes that a project was loaded with: a file that is another one now is not read. */
export function openReferenceFiles(
  folders: ReferenceFolders,
  wanted: Readonly<Record<string, string>>,
): OpenReferenceFiles {
  let database: Promise<Database> | undefined
  return {
    async describe(use) {
      const found = findFile(folders, use.path, wanted)
      database ??= openDatabase(folders)
      const { connection } = await database
      try {
        const reader = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${readerSql(use, found.file)}`)
        const columns = reader.getRowObjects().map((row): Column => {
          return { name: String(row.column_name), type: String(row.column_type) }
        })
        return { path: found.path, hash: found.hash, columns, source: found.file }
      } catch (error) {
        const why = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
        const message = `the reference file "${found.path}" cannot be read: ${why.replace(/^\w+( \w+)? Error: /, '')}`
        throw new RefoldError('VIEW_FILE', message, {
          hint: 'Correct the file, or the options of its reader.',
        })
      }
    },
    close() {
      void database?.then(({ connection, instance }) => {
        connection.closeSync()
        instance.closeSync()
      })
    },
  }
}

interface Database {
  readonly instance: DuckDBInstance
  readonly connection: DuckDBConnection
}

async function openDatabase({ root, copies }: ReferenceFolders): Promise<Database> {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: '256MB',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  })
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  await connection.run(`SET GLOBAL allowed_directories = [${[root, copies].map(quoteLiteral).join(', ')}]`)
  await connection.run('SET GLOBAL enable_external_access = false')
  await connection.run('SET lock_configuration = true')
  return { instance, connection }
}

interface FoundFile {
  /** Absolute. */
  readonly file: string
  /** Relative to the project's folder. */
  readonly path: string
  readonly hash: string
}

/** The project's file, when it is the one that was meant; else the copy of that one. */
function findFile(
  folders: ReferenceFolders,
  name: string,
  wanted: Readonly<Record<string, string>>,
): FoundFile {
  if (/[*?[\]{}]/.test(name) || /^\w+:\/\//.test(name)) {
    throw new RefoldError('VIEW_FILE', `"${name}" is not the path of one file`, {
      hint: "Name one file below the project's folder; make one of several with UNION ALL.",
    })
  }
  const { root, copies } = folders
  const file = isAbsolute(name) ? name : join(root, name)
  const path = relative(root, file).split(sep).join('/')
  const isInside = path !== '' && path !== '..' && !path.startsWith('../') && !isAbsolute(path)
  if (!isInside) throw outside(name)
  const meant = wanted[path]
  const hash = hashOf(root, file, name)
  if (hash !== undefined && (meant === undefined || meant === hash)) return { file, path, hash }
  const copy = meant === undefined ? undefined : copyPath(copies, meant, path)
  if (meant !== undefined && copy !== undefined && hashOf(copies, copy, name) === meant) {
    return { file: copy, path, hash: meant }
  }
  if (hash === undefined) {
    const hint = `Put it at ${path} below the project's folder.`
    throw new RefoldError('VIEW_FILE', `there is no reference file "${path}"`, { hint })
  }
  throw new RefoldError('VIEW_FILE', `the reference file "${path}" is not the one that was sent`, {
    hint: "Put the same file into the project's folder on the server, then deploy again.",
  })
}

function hashOf(root: string, file: string, name: string): string | undefined {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) return undefined
  // A link may lead out of the folder.
  const inside = relative(realpathSync(root), realpathSync(file))
  if (inside.startsWith('..') || isAbsolute(inside)) throw outside(name)
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}

function outside(name: string): RefoldError {
  return new RefoldError('VIEW_FILE', `the reference file "${name}" lies outside of the project's folder`, {
    hint: "Put it below the project's folder and name it by its path from there.",
  })
}

/** Where a version's copy of a file is: by its content, with the ending that its reader knows it by. */
export function copyPath(copies: string, hash: string, path: string): string {
  const ending = /\.\w+\.gz$/.exec(path)?.[0] ?? extname(path)
  return join(copies, hash, `file${ending}`)
}

/** A SELECT of the file's columns with the types that they were planned with. */
export function referenceSql(file: BatchFile, copies: string): string {
  const columns = file.columns.map(({ name, type }) => {
    return `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`
  })
  return `SELECT ${columns.join(', ')} FROM ${readerSql(file, copyPath(copies, file.hash, file.path))}`
}

function readerSql({ reader, options }: Pick<BatchFile, 'reader' | 'options'>, file: string): string {
  return `${reader}(${[quoteLiteral(file), ...options].join(', ')})`
}
