#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# keys.sh: the development signing key, out/keys/development.{key,pem}, made
# once. Whoever has it can update every image built here: not for products.
set -eu
. "$(dirname "$0")/lib.sh"

DIR=$OUT/keys

fill() {
	(
		umask 077
		openssl ecparam -name prime256v1 -genkey -noout |
			openssl pkcs8 -topk8 -nocrypt \
				-out "$1/development.key"
	)
	openssl pkey -in "$1/development.key" -pubout \
		-out "$1/development.pem"
}

filled "$DIR" fill
