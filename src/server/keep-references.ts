/**
 * Keeps a copy of every reference file that a version was planned with, by its content, so that old versions go on
 * with theirs when the project's file changes. No state but the folder.
 *
 * A copy is written under a name of its own, synced and renamed, so a file of the right name is whole.
 */

import { createHash, randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { copyPath } from '../engine/reference-files.ts'
import { RefoldError } from '../model/errors.ts'
import type { FileSource } from '../plan/plan-batch.ts'
import { referenceCopies } from './plan-batch-layer.ts'

/** Throws VIEW_FILE when a file is not the one that was planned any more. */
export function keepReferences(dataDir: string, files: readonly FileSource[]): void {
  for (const { path, hash, source } of files) {
    const copy = copyPath(referenceCopies(dataDir), hash, path)
    if (existsSync(copy)) continue
    const bytes = readFileSync(source)
    if (createHash('sha256').update(bytes).digest('hex') !== hash) {
      throw new RefoldError(
        'VIEW_FILE',
        `the reference file "${path}" was changed while the view was planned`,
        {
          hint: 'Send the project again.',
        },
      )
    }
    mkdirSync(dirname(copy), { recursive: true })
    const staged = `${copy}.${randomUUID()}`
    try {
      const handle = openSync(staged, 'wx')
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at)
        fsyncSync(handle)
      } finally {
        closeSync(handle)
      }
      renameSync(staged, copy)
    } finally {
      rmSync(staged, { force: true })
    }
    for (const folder of [dirname(copy), referenceCopies(dataDir)]) syncFolder(folder)
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
