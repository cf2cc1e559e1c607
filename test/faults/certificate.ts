import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A key and a certificate that signs itself (PEM). */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * Makes one with openssl.
 * @param name what it is for, as openssl writes it: `IP:127.0.0.1`
 * @param days how long it is good; below 0 it is over
 */
export function makeCertificate(name = 'IP:127.0.0.1', days = 30): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'learnd-certificate-'));
  try {
    const key = join(folder, 'key.pem');
    const cert = join(folder, 'cert.pem');
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const subject = ['-subj', '/CN=controller', '-addext', `subjectAltName=${name}`];
    const request = join(folder, 'request.pem');
    const asked = ['-keyout', key, '-out', request];
    execFileSync('openssl', ['req', ...curve, ...subject, ...asked], { stdio: 'pipe' });
    // only this one makes one that is over
    const signed = ['-copy_extensions', 'copy', '-days', String(days), '-out', cert];
    const sign = ['x509', '-req', '-in', request, '-signkey', key, ...signed];
    execFileSync('openssl', sign, { stdio: 'pipe' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
