# SPDX-License-Identifier: Apache-2.0
# `cmake --install BUILD`: programs, man pages, shell completions, systemd unit, documents. What meshctl knows about itself
# (completions, man page) is printed by the meshctl that was just built.
set(generated ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${generated})

function(weft_generate_from_meshctl file)
	add_custom_command(OUTPUT ${generated}/${file}
		COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C $<TARGET_FILE:meshctl> ${ARGN} > ${generated}/${file}
		DEPENDS meshctl COMMENT "meshctl ${ARGN}" VERBATIM)
	set(files ${generated_files} ${generated}/${file})
	set(generated_files ${files} PARENT_SCOPE)
endfunction()

weft_generate_from_meshctl(meshctl.8 man)
weft_generate_from_meshctl(meshctl.bash completion bash)
weft_generate_from_meshctl(_meshctl completion zsh)
weft_generate_from_meshctl(meshctl.fish completion fish)
add_custom_target(meshctl_generated ALL DEPENDS ${generated_files})

configure_file(${CMAKE_SOURCE_DIR}/tools/install/weftd.service.in ${generated}/weftd.service @ONLY)

install(TARGETS weftd DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS meshctl DESTINATION ${CMAKE_INSTALL_BINDIR})
file(GLOB man_pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.8)
install(FILES ${man_pages} ${generated}/meshctl.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES ${generated}/meshctl.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME meshctl)
install(FILES ${generated}/_meshctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${generated}/meshctl.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${generated}/weftd.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/tools/install/weftd.conf DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/weft)
install(DIRECTORY DESTINATION ${CMAKE_INSTALL_SYSCONFDIR}/weft/manifests)
file(GLOB documents CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*.md)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR})
