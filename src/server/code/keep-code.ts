/**
 * The code store: a copy of every piece of logic that a version was made with, in `code/HASH/` of the data folder, so
 * that old versions go on with their code while the project changes. No state but the folder.
 *
 * A copy is content-addressed: files are hashed while they are copied, written to a name of this call's own, synced,
 * and the folder is renamed when all of it is there. One that is there and whole is left as it is; one that is damaged
 * is replaced. Copies stay: whoever asks for an earlier version needs its code, and they are small.
 */

import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CODE_FILE, type CodeDef, codeHash, filesOfCode, storedPath } from '../../define/code.ts'
import { checkedCode } from '../../define/logic-modules.ts'
import { RefoldError } from '../../model/errors.ts'
import { type Files, realFiles, writeAll } from '../../std/files.ts'

/** Puts the code into the store from the project's files. Throws LOGIC_DIFFERS where they are not what is asked for. */
export async function keepCode(
  store: string,
  root: string,
  code: CodeDef,
  files: Files = realFiles,
): Promise<void> {
  const folder = join(store, code.hash)
  if (isWhole(folder, code.hash)) return
  if (codeHash(code) !== code.hash)
    throw differs(`the code ${code.hash.slice(0, 12)} is not what its hash says`)
  const contents = new Map<string, Buffer>()
  for (const [path, hash] of Object.entries(filesOfCode(code))) {
    contents.set(storedPath(path), await readOwn(root, path, hash))
  }
  contents.set(CODE_FILE, Buffer.from(`${JSON.stringify(code, undefined, 2)}\n`))
  const staged = join(store, `.${code.hash}-${randomUUID()}`)
  const folders = new Set<string>([staged])
  for (const [path, bytes] of contents) {
    const target = join(staged, path)
    for (let at = dirname(target); at !== staged; at = dirname(at)) folders.add(at)
    await files.mkdir(dirname(target))
    await writeSynced(files, target, bytes)
  }
  for (const one of folders) await files.syncDir(one)
  // A damaged copy makes room; until the rename nobody can load the code, and who tries says so.
  if (existsSync(folder)) await rm(folder, { recursive: true, force: true })
  await files.rename(staged, folder).catch(async (error: unknown) => {
    await rm(staged, { recursive: true, force: true })
    // Somebody else put it there meanwhile.
    if (!isWhole(folder, code.hash)) throw error
  })
  await files.syncDir(store)
}

function isWhole(folder: string, hash: string): boolean {
  if (!existsSync(folder)) return false
  try {
    checkedCode(folder, hash)
    return true
  } catch {
    return false
  }
}

async function readOwn(root: string, path: string, hash: string): Promise<Buffer> {
  const bytes = await readFile(join(root, path)).catch(() => undefined)
  if (bytes === undefined) throw differs(`the server's project folder has no file "${path}"`)
  if (createHash('sha256').update(bytes).digest('hex') === hash) return bytes
  throw differs(
    `file "${path}" of the server's project folder is not the one that the project was loaded with`,
  )
}

async function writeSynced(files: Files, path: string, bytes: Buffer): Promise<void> {
  const handle = await files.open(path, 'create')
  try {
    await writeAll(handle, [bytes], 0)
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

function differs(message: string): RefoldError {
  return new RefoldError('LOGIC_DIFFERS', message)
}
