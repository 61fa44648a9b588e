/**
 * Tells when a project's files change. Folders are watched, not files, because editors save by renaming a new file
 * into place; what changed is only told by name, and only for files that matter. State: the watchers, and the timer
 * that gathers a burst of saves into one call.
 */

import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'

export interface FileWatch {
  /** Watches for these files from now on, and for new `.sql` files in `views/` of the root. */
  follow(root: string, files: readonly string[]): void
  close(): void
}

const gatherMs = 80

export function watchFiles(onChange: (files: readonly string[]) => void): FileWatch {
  const watchers = new Map<string, FSWatcher>()
  const changed = new Set<string>()
  let followed = new Set<string>()
  let viewsDir = ''
  let timer: NodeJS.Timeout | undefined
  const matters = (path: string): boolean =>
    followed.has(path) || path === viewsDir || (dirname(path) === viewsDir && extname(path) === '.sql')
  const saw = (path: string): void => {
    if (!matters(path)) return
    changed.add(path)
    clearTimeout(timer)
    timer = setTimeout(() => {
      const files = [...changed].sort()
      changed.clear()
      onChange(files)
    }, gatherMs)
  }
  const open = (folder: string): void => {
    if (watchers.has(folder)) return
    try {
      const watcher = watch(folder, (_event, name) => {
        if (name !== null) saw(join(folder, name))
      })
      // A folder that goes away ends its watch; it is taken up again with the next `follow`.
      watcher.on('error', () => {
        watcher.close()
        watchers.delete(folder)
      })
      watchers.set(folder, watcher)
    } catch {
      // A folder that is not there yet: its parent tells when it comes.
    }
  }
  return {
    follow(root, files) {
      viewsDir = join(root, 'views')
      followed = new Set(files)
      const folders = new Set([root, viewsDir, ...files.map(dirname)])
      for (const [folder, watcher] of watchers) {
        if (folders.has(folder)) continue
        watcher.close()
        watchers.delete(folder)
      }
      for (const folder of folders) if (basename(folder) !== 'node_modules') open(folder)
    },
    close() {
      clearTimeout(timer)
      for (const watcher of watchers.values()) watcher.close()
    },
  }
}
