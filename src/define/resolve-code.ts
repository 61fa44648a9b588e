/**
 * From a builder's call to the code that makes its logic: the file whose top level made the call with everything that
 * it imports, and the artefacts that were given. Pure; it is told of files by the loader.
 */

import path from 'node:path'
import { nearestName } from '../std/nearest-name.ts'
import { type ArtefactDef, type CodeDef, type CodeFiles, codeDef } from './code.ts'
import { type CallSite, filesOnStack } from './places.ts'
import type { Refuse } from './refuse.ts'

export interface CodeSource {
  /** Absolute path of the project file. */
  readonly file: string
  readonly root: string
  /** The same without links: modules are loaded by the names that files really have. Default `root`. */
  readonly realRoot?: string
  readonly codeOf?: (file: string) => CodeFiles | undefined
  readonly fileHash?: (path: string) => string | undefined
  /** Names of files beside a wanted one that is not there, for a hint. */
  readonly filesIn?: (folder: string) => readonly string[]
}

/**
 * `what` names the logic in messages. The entry is the outermost file on the stack of the call: where a helper makes
 * several functions, importing the helper alone would make none.
 */
export function resolveCode(
  what: string,
  spec: { readonly calledAt: string; readonly artefacts?: unknown },
  call: CallSite,
  source: CodeSource,
  refuse: Refuse,
): CodeDef {
  const known = filesOnStack(spec.calledAt).flatMap((file) => {
    const made = source.codeOf?.(file)
    return made === undefined ? [] : [{ file, made }]
  })
  const { file, made } = known.at(-1) ?? { file: source.file, made: { files: {}, packages: {} } }
  const artefacts = resolveArtefacts(what, spec.artefacts, file, call, source, refuse)
  return codeDef(relativePath(source.realRoot ?? source.root, file), made, artefacts)
}

/** Paths are those of the file in which they are written. */
function resolveArtefacts(
  what: string,
  given: unknown,
  from: string,
  call: CallSite,
  source: CodeSource,
  refuse: Refuse,
): Readonly<Record<string, ArtefactDef>> {
  if (given === undefined) return {}
  const place = call.option(['artefacts'])
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const hint = "Write e.g. { model: './model.json' }."
    refuse('LOGIC_INVALID', `${what}: \`artefacts\` is not a file for each name`, place, hint)
    return {}
  }
  const found = Object.entries(given).flatMap(([name, wanted]) => {
    const at = call.option(['artefacts', name])
    if (typeof wanted !== 'string' || wanted === '') {
      refuse('LOGIC_INVALID', `${what}: artefact "${name}" is no path of a file`, at)
      return []
    }
    const file = path.resolve(path.dirname(from), wanted)
    const hash = source.fileHash?.(file)
    if (hash === undefined) {
      const near = nearestName(path.basename(file), source.filesIn?.(path.dirname(file)) ?? [])
      const hint =
        near === undefined
          ? `Paths are relative to "${path.basename(from)}"; make the file, or correct the path.`
          : `Did you mean "${near}"?`
      refuse(
        'LOGIC_INVALID',
        `${what}: artefact "${name}" is "${wanted}", and there is no such file`,
        at,
        hint,
      )
      return []
    }
    const format = wanted.endsWith('.json') ? ('json' as const) : ('binary' as const)
    return [[name, { path: relativePath(source.realRoot ?? source.root, file), hash, format }] as const]
  })
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function relativePath(root: string, file: string): string {
  return path.relative(root, file).split(path.sep).join('/')
}
