# cmake --install: the program, and what systemd needs to run it. Under the prefix /usr that is where Debian keeps
# units; under /usr/local systemd looks as well.
include(GNUInstallDirs)
install(TARGETS fovea RUNTIME)
configure_file(${CMAKE_CURRENT_LIST_DIR}/fovea.service.in ${PROJECT_BINARY_DIR}/fovea.service @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fovea.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/fovea.sysusers DESTINATION lib/sysusers.d RENAME fovea.conf)
# An installed configuration is the operator's: a second install leaves it as it is.
install(CODE "
  set(folder \"${CMAKE_INSTALL_FULL_SYSCONFDIR}/fovea\")
  if(NOT EXISTS \"\$ENV{DESTDIR}\${folder}/fovea.toml\")
    file(INSTALL \"${CMAKE_CURRENT_LIST_DIR}/fovea.toml\" DESTINATION \"\${folder}\")
  endif()")
