/**
 * The worker thread in which a project file is imported and lowered; it sends back plain data and ends. State: the
 * module hooks of this thread, the list of files that were loaded and which of them imports which.
 */

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { registerHooks } from 'node:module'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { RefoldError, toErrorBody } from '../model/errors.ts'
import type { CodeFiles } from './code.ts'
import { importMistake } from './import-mistake.ts'
import type { LoadAnswer } from './load.ts'
import { packageAround, packageOf } from './package-of.ts'
import { ownRoot, resolveProjectModule } from './project-modules.ts'
import { resolveProject } from './resolve-project.ts'

const files = new Set<string>()
/** File → files of the project that it imports. */
const imports = new Map<string, Set<string>>()

const { file } = workerData as { readonly file: string }
process.removeAllListeners('warning')
process.on('warning', () => {})
hookModules()
parentPort?.postMessage(await load())

async function load(): Promise<LoadAnswer> {
  const root = path.dirname(file)
  files.add(file)
  try {
    const module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown }
    const sqlFiles = readSqlFiles(path.join(root, 'views'))
    const sourcesOf = (start: readonly string[]) => sourceHashes(root, start)
    const exported = module.default
    const realRoot = realpathSync(root)
    const codeOf = (start: string) => codeFiles(realRoot, start)
    const source = { file, root, exported, sqlFiles, sourcesOf, fileHash, codeOf, filesIn, realRoot }
    const resolved = resolveProject(source)
    if (resolved.ok) return { ok: true, project: resolved.project, files: [...files] }
    return { ok: false, mistakes: resolved.mistakes.map(toErrorBody), files: [...files] }
  } catch (error) {
    const mistake = error instanceof RefoldError ? error : importMistake(error, file, [...files])
    return { ok: false, mistakes: [toErrorBody(mistake)], files: [...files] }
  }
}

/** Also has the file watched: a changed one is another definition. */
function fileHash(name: string): string | undefined {
  if (statSync(name, { throwIfNoEntry: false })?.isFile() !== true) return undefined
  files.add(name)
  return createHash('sha256').update(readFileSync(name)).digest('hex')
}

function filesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

function readSqlFiles(folder: string): { name: string; file: string; sql: string }[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => {
      const file = path.join(folder, name)
      files.add(file)
      return { name: name.slice(0, -'.sql'.length), file, sql: readFileSync(file, 'utf8') }
    })
}

/** Hashes of the project's files among `start` and of all that they import, by their path below the root. */
function sourceHashes(root: string, start: readonly string[]): Readonly<Record<string, string>> {
  const reached = reachedFrom(start)
  const entries = [...reached]
    .filter((name) => files.has(name))
    .map((name) => {
      const hash = createHash('sha256').update(readFileSync(name)).digest('hex')
      return [path.relative(root, name).split(path.sep).join('/'), hash] as const
    })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The project's files and the packages that a file of the project is made of; undefined for any other file. */
function codeFiles(root: string, start: string): CodeFiles | undefined {
  if (!files.has(start)) return undefined
  const own = fileURLToPath(ownRoot)
  const packages = [...reachedFrom([start])]
    .filter((name) => !files.has(name) && !name.startsWith(own))
    .flatMap((name) => packageAround(name) ?? [])
    .map(({ name, version }) => [name, version] as const)
    // What only Refold brings along, as zod where the project has none, is a part of its release.
    .filter(([name]) => packageOf(start, name) !== undefined)
  const sorted = [...new Map(packages)].sort(([a], [b]) => (a < b ? -1 : 1))
  return { files: sourceHashes(root, [start]), packages: Object.fromEntries(sorted) }
}

/** Files and all that they import, packages included. */
function reachedFrom(start: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>()
  const reach = (name: string): void => {
    if (reached.has(name)) return
    reached.add(name)
    for (const imported of imports.get(name) ?? []) reach(imported)
  }
  for (const name of start) reach(name)
  return reached
}

function noteImport(parent: string | undefined, url: string): void {
  if (parent?.startsWith('file:') !== true || !url.startsWith('file:')) return
  const from = fileURLToPath(parent.replace(/[?#].*$/, ''))
  const known = imports.get(from) ?? new Set()
  imports.set(from, known.add(fileURLToPath(url.replace(/[?#].*$/, ''))))
}

function hookModules(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const resolved = resolveProjectModule(specifier, context, next)
      if (resolved.shortCircuit !== true) noteImport(context.parentURL, resolved.url)
      return resolved
    },
    load(url, context, next) {
      if (url.startsWith('file:') && !url.startsWith(ownRoot) && !url.includes('/node_modules/')) {
        files.add(fileURLToPath(url.replace(/[?#].*$/, '')))
      }
      return next(url, context)
    },
  })
}
