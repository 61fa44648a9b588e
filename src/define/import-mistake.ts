/** Turns what importing a project file throws into a mistake with the place that it names. Pure but for reading. */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'
import { type ErrorPlace, RefoldError } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import { positionOf } from './places.ts'

/** `files` are those that were loaded before it failed. */
export function importMistake(error: unknown, file: string, files: readonly string[]): RefoldError {
  const { name, message, stack, code } = detailsOf(error)
  const last = files.at(-1) ?? file
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED')
    return missingModule(message, file, files)
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    const hint =
      'Use TypeScript whose types can just be left out: no enum, namespace or parameter properties.'
    return new RefoldError('PROJECT_SYNTAX', firstLine(message), {
      hint,
      place: placeIn(stack, last),
      cause: error,
    })
  }
  if (name === 'SyntaxError' || code === 'ERR_INVALID_TYPESCRIPT_SYNTAX') {
    const missing = missingExport(message, file, files)
    if (missing !== undefined) return missing
    const place = syntaxHead(stack) ?? checkedPlace(files) ?? { file: last, line: 1, column: 1 }
    return new RefoldError('PROJECT_SYNTAX', firstLine(message), { place, cause: error })
  }
  const place = placeIn(stack, file, new Set(files))
  return new RefoldError('PROJECT_FAILED', `${name}: ${firstLine(message)}`, { place, cause: error })
}

function detailsOf(error: unknown): { name: string; message: string; stack: string; code: unknown } {
  if (!(error instanceof Error)) return { name: 'thrown', message: String(error), stack: '', code: undefined }
  const { name, message, stack = '' } = error
  return { name, message, stack, code: (error as { code?: unknown }).code }
}

/** `Cannot find package 'x' imported from /a/b.ts`: the place is the import that names it. */
function missingModule(message: string, file: string, files: readonly string[]): RefoldError {
  const [, missing = '', from = ''] =
    /Cannot find (?:package|module) '([^']+)'(?: imported from (.+))?/.exec(message) ?? []
  const importer = from === '' ? file : toPath(from.trim())
  const bare = missing.replace(/^.*[\\/]/, '')
  const place = placeOfText(existsSync(importer) ? [importer] : files, [missing, bare.replace(/\.\w+$/, '')])
  const isFile = /^(\/|\.|file:|[A-Za-z]:)/.test(missing)
  const hint = isFile
    ? 'Name the file with its extension, as in "./streams.ts".'
    : 'Install the package beside the project file.'
  return new RefoldError('PROJECT_FAILED', `the import "${missing}" was not found`, {
    place: place ?? { file: importer, line: 1, column: 1 },
    hint,
  })
}

/** `The requested module 'refold' does not provide an export named 'strem'`. */
function missingExport(message: string, file: string, files: readonly string[]): RefoldError | undefined {
  const [, module, missing] =
    /requested module '([^']+)' does not provide an export named '([^']+)'/.exec(message) ?? []
  if (module === undefined || missing === undefined) return undefined
  const nearest = /^refold$|src\/index\.ts$|dist\/index\.js$/.test(module)
    ? nearestName(missing, ['stream', 'view', 'project', 'kappa', 'lambda', 'hybrid', 'decimal', 'int64'])
    : undefined
  const place = placeOfText(files, [missing]) ?? { file, line: 1, column: 1 }
  const hint = nearest === undefined ? `See what "${module}" exports.` : `Did you mean "${nearest}"?`
  return new RefoldError('PROJECT_FAILED', `"${module}" has no export "${missing}"`, { place, hint })
}

function placeOfText(files: readonly string[], texts: readonly string[]): ErrorPlace | undefined {
  for (const file of files) {
    const source = readSource(file)
    for (const text of texts) {
      const offset = text === '' ? -1 : source.indexOf(text)
      if (offset >= 0) return { file, ...positionOf(source, offset) }
    }
  }
  return undefined
}

/** The place at the head of a syntax error's stack, or the first frame of a project's file. */
function placeIn(stack: string, fallback: string, files?: ReadonlySet<string>): ErrorPlace {
  const head = files === undefined ? syntaxHead(stack) : undefined
  if (head !== undefined) return head
  for (const frame of stack.matchAll(/((?:file:\/\/|\/|[A-Za-z]:\\)[^\n()]*?):(\d+):(\d+)\)?$/gm)) {
    const file = toPath(frame[1] ?? '')
    if (files === undefined ? file === fallback : files.has(file)) {
      return { file, line: Number(frame[2]), column: Number(frame[3]) }
    }
  }
  return { file: fallback, line: 1, column: 1 }
}

/** The head that Node puts before the stack of a syntax error: place, lines of code, carets under the fault. */
function syntaxHead(stack: string): ErrorPlace | undefined {
  const head = /^((?:file:\/\/|\/|[A-Za-z]:\\)[^\n]*?):(\d+)\n/m.exec(stack)
  if (head === null) return undefined
  const carets = /^( *)\^+ *$/m.exec(stack.slice(head.index))
  return { file: toPath(head[1] ?? ''), line: Number(head[2]), column: (carets?.[1] ?? '').length + 1 }
}

/** Importing keeps the place of a syntax error in JavaScript to itself; `node --check` tells it. */
function checkedPlace(files: readonly string[]): ErrorPlace | undefined {
  for (const file of [...files].reverse()) {
    const source = readSource(file)
    const input = /\.[cm]?ts$/.test(file) ? stripTypeScriptTypes(source) : source
    const options = { input, encoding: 'utf8', timeout: 10_000 } as const
    const { stderr } = spawnSync(process.execPath, ['--input-type=module', '--check', '-'], options)
    const head = syntaxHead((stderr ?? '').replace(/^\[stdin\]:/m, '/stdin:'))
    if (head !== undefined) return { ...head, file }
  }
  return undefined
}

function toPath(location: string): string {
  const bare = location.replace(/[?#].*$/, '')
  return bare.startsWith('file://') ? fileURLToPath(bare) : bare
}

function readSource(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function firstLine(message: string): string {
  return (
    message
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? message
  )
}
