# SPDX-License-Identifier: Apache-2.0
# BPF objects (clang, CO-RE) and their libbpf skeletons. No BTF of the running kernel is needed: the kernel structures that
# the programs read are declared in bpf/lib/kernel.h and relocated when they are loaded.
find_program(CLANG NAMES clang clang-14 clang-16 clang-19 REQUIRED)
find_program(LLVM_STRIP NAMES llvm-strip llvm-strip-14 llvm-strip-16 llvm-strip-19 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

execute_process(COMMAND ${CLANG} -print-multiarch OUTPUT_VARIABLE MULTIARCH OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT MULTIARCH)
	set(MULTIARCH ${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
endif()
set(BPF_FLAGS -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror -Wno-missing-field-initializers
	-I${CMAKE_SOURCE_DIR}/include -I${CMAKE_SOURCE_DIR}/bpf -idirafter /usr/include/${MULTIARCH})

function(weft_bpf_skeletons target)
	set(out ${CMAKE_BINARY_DIR}/bpf)
	file(MAKE_DIRECTORY ${out})
	file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/bpf/*.h ${CMAKE_SOURCE_DIR}/bpf/lib/*.h ${CMAKE_SOURCE_DIR}/include/weft/*.h)
	set(includes "")
	set(names "")
	foreach(source ${ARGN})
		get_filename_component(file ${source} NAME)
		string(REPLACE ".bpf.c" "" name ${file})
		set(object ${out}/${name}.bpf.o)
		set(skeleton ${out}/${name}.skel.h)
		add_custom_command(OUTPUT ${object} ${skeleton}
			COMMAND ${CLANG} ${BPF_FLAGS} -c ${source} -o ${object}
			COMMAND ${LLVM_STRIP} -g ${object}
			COMMAND ${BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${skeleton}
			DEPENDS ${source} ${headers}
			COMMENT "BPF ${name}" VERBATIM)
		target_sources(${target} PRIVATE ${skeleton})
		string(APPEND includes "#include \"${name}.skel.h\"\n")
		string(APPEND names " X(${name})")
	endforeach()
	# The list of all objects: a new bpf/NAME.bpf.c needs no entry anywhere.
	file(CONFIGURE OUTPUT ${out}/objects.h CONTENT "/* generated */\n${includes}#define WEFT_OBJECTS(X)${names}\n" @ONLY)
	target_include_directories(${target} SYSTEM PUBLIC ${out})
endfunction()
